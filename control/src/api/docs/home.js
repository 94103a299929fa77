// The volumes, for those who may see them. The bearer is forgotten as soon as they are read.
"use strict";

async function json(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(body.description || answer.statusText);
  }
  return body;
}

async function readVolumes() {
  const username = document.getElementById("username").value;
  const password = document.getElementById("password").value;
  const login = await json("/v1/session/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ username, password }),
  });
  return json("/volumes", { headers: { Authorization: "Bearer " + login.bearer_token } });
}

function row(volume) {
  const cells = [volume.alias, size(volume.capacity), volume.inUse ? "yes" : "no", volume.uuid];
  const line = document.createElement("tr");
  for (const text of cells) {
    line.appendChild(document.createElement("td")).textContent = text;
  }
  return line;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let rest = bytes;
  while (rest >= 1024 && unit + 1 < units.length) {
    rest /= 1024;
    unit += 1;
  }
  return Number(rest.toFixed(1)) + " " + units[unit];
}

document.getElementById("credentials").addEventListener("submit", async (event) => {
  event.preventDefault();
  const outcome = document.getElementById("outcome");
  outcome.className = "";
  outcome.textContent = "";
  try {
    const volumes = await readVolumes();
    document.getElementById("password").value = "";
    document.querySelector("#volumes tbody").replaceChildren(...volumes.map(row));
    document.getElementById("volumes").hidden = volumes.length === 0;
    outcome.textContent = volumes.length === 0 ? "There are no volumes." : `Volumes: ${volumes.length}`;
  } catch (error) {
    outcome.className = "failed";
    outcome.textContent = error.message;
  }
});
