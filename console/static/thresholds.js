// The slider of thresholds: shows the figures of the row of the table that it is moved to.
"use strict";
(() => {
  const slider = document.getElementById("at");
  if (!slider) return;
  const rows = document.querySelectorAll("#points tbody tr");
  const said = document.getElementById("threshold");
  const cells = document.querySelectorAll("[data-figure]");

  function show() {
    const row = rows[Number(slider.value)];
    const threshold = row.cells[0].textContent;
    said.textContent = threshold;
    slider.setAttribute("aria-valuetext", threshold);
    for (const cell of cells) cell.textContent = row.querySelector(`[data-name="${cell.dataset.figure}"]`).textContent;
  }

  slider.addEventListener("input", show);
  show(); // a browser that comes back keeps where it was moved to
})();
