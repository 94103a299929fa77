// The bearer lives in this page's memory only: closing the page forgets it.
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

async function applyCredentials() {
  const username = document.getElementById("username").value;
  const password = document.getElementById("password").value;
  const answer = await fetch("/v1/session/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.description);
  }
  ui.preauthorizeApiKey("bearer", body.bearer_token);
}

document.getElementById("credentials").addEventListener("submit", async (event) => {
  event.preventDefault();
  const outcome = document.getElementById("outcome");
  outcome.className = "";
  outcome.textContent = "";
  try {
    await applyCredentials();
    outcome.textContent = "Authentication succeeded.";
    document.getElementById("password").value = "";
  } catch (error) {
    outcome.className = "failed";
    outcome.textContent = error.message;
  }
});
