// The form with which people log in. The bearer lives in the page's memory only: closing the page forgets it.
"use strict";

async function json(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.description || answer.statusText);
  }
  return body;
}

async function logIn(username, password) {
  const login = await json("/v1/session/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
  return login.bearer_token;
}

// Gives `use` the bearer whenever the form is sent, and shows the text that it returns, or what went wrong.
function whenLoggedIn(use) {
  const field = (id) => document.getElementById(id);
  field("credentials").addEventListener("submit", async (event) => {
    event.preventDefault();
    const outcome = field("outcome");
    outcome.className = "";
    outcome.textContent = "";
    try {
      outcome.textContent = await use(await logIn(field("username").value, field("password").value));
      field("password").value = "";
    } catch (error) {
      outcome.className = "failed";
      outcome.textContent = error.message;
    }
  });
}
