"use strict";
window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({
    url: "/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    // Without this setting, Swagger UI sends the document to an external server to validate it.
    validatorUrl: null,
  });
});
