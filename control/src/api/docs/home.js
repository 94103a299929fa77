// The volumes, for those who may see them. The bearer is forgotten as soon as they are read.
"use strict";

function row(volume) {
  const cells = {
    Name: volume.alias,
    Capacity: size(volume.capacity),
    Published: volume.inUse ? "yes" : "no",
    UUID: volume.uuid,
  };
  const line = document.createElement("tr");
  for (const [label, text] of Object.entries(cells)) {
    const cell = line.appendChild(document.createElement("td"));
    // Shown where the window is too narrow for columns.
    cell.dataset.label = label;
    cell.textContent = text;
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

whenLoggedIn(async (bearer) => {
  const volumes = await json("/volumes", { headers: { Authorization: "Bearer " + bearer } });
  document.querySelector("#volumes tbody").replaceChildren(...volumes.map(row));
  document.getElementById("volumes").hidden = volumes.length === 0;
  return volumes.length === 0 ? "There are no volumes." : `Volumes: ${volumes.length}`;
});
