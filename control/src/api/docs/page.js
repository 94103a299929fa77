// Swagger UI with the operations of this server, called with the credentials of the form.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followScheme);
followScheme();

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#operations",
  deepLinking: true,
  docExpansion: "none",
  displayRequestDuration: true,
  tagsSorter: "alpha",
  validatorUrl: null,
});

whenLoggedIn((bearer) => {
  ui.preauthorizeApiKey("bearer", bearer);
  return "Authentication succeeded.";
});
