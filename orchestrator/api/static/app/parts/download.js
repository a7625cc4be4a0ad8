// Downloads of files that the page creates.

// An apostrophe is put before a value that a spreadsheet would run as a formula.
const cell = (value) => `"${String(value ?? "").replaceAll('"', '""').replace(/^[=+\-@\t\r]/, "'$&")}"`;
export const csv = (names, rows) => [names.join(","), ...rows.map((row) => row.map(cell).join(","))].join("\r\n");

export function save(name, text, type = "text/csv") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
