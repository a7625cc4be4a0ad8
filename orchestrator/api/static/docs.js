"use strict";
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    // Without this it asks a server elsewhere whether the document is valid.
    validatorUrl: null,
  });
});
