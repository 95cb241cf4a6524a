// The summary table: sorts, searches and pages rows that the page holds as data. Only the rows shown are in the document.
"use strict";
(() => {
  const source = document.getElementById("summary-data");
  if (!source) return;
  const PAGE = 50;
  const rows = JSON.parse(source.textContent);
  const lower = rows.map((row) => row[0].toLowerCase());
  const table = document.getElementById("summary");
  const heads = [...table.tHead.rows[0].cells];
  const [search, count, pages, page, previous, next] = ["search", "count", "pages", "page", "previous", "next"]
    .map((id) => document.getElementById(id));
  const state = { column: 5, descending: false, query: "", page: 0 };
  let shown = [];

  const worst = (row) => (row[5] === null || row[6] === null ? null : Math.min(row[5], row[6]));
  const value = (index) => (state.column === 5 && state.initial ? worst(rows[index]) : rows[index][state.column]);

  function words(entry, column) {
    if (entry === null) return "–";
    if (column === 7) return entry.toFixed(3);
    return String(entry).replace("-", "−");
  }

  function order() {
    const sign = state.descending ? -1 : 1;
    const keys = rows.map((_, index) => value(index));
    shown = [];
    for (let i = 0; i < rows.length; i++) if (lower[i].includes(state.query)) shown.push(i);
    shown.sort((a, b) => {
      const [x, y] = [keys[a], keys[b]];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      if (x < y) return -sign;
      return x > y ? sign : a - b;
    });
  }

  function draw() {
    const first = state.page * PAGE;
    const body = document.createElement("tbody");
    for (const index of shown.slice(first, first + PAGE)) {
      const line = body.insertRow();
      rows[index].forEach((entry, column) => {
        const cell = column ? line.insertCell() : line.appendChild(document.createElement("th"));
        if (!column) cell.scope = "row";
        cell.textContent = column ? words(entry, column) : entry;
      });
    }
    table.replaceChild(body, table.tBodies[0]);
    heads.forEach((head, column) => {
      const isSorted = column === state.column && !state.initial;
      head.setAttribute("aria-sort", !isSorted ? "none" : state.descending ? "descending" : "ascending");
    });
    const last = Math.min(first + PAGE, shown.length);
    const total = shown.length.toLocaleString("en");
    count.textContent = `${total} of ${rows.length.toLocaleString("en")} quantities` +
      (state.initial ? ", the smallest ESS first" : "");
    pages.hidden = shown.length <= PAGE;
    page.textContent = `${shown.length ? first + 1 : 0}–${last} of ${total}`;
    previous.disabled = state.page === 0;
    next.disabled = last >= shown.length;
  }

  function update() {
    order();
    draw();
  }

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      state.descending = state.column === column && !state.initial ? !state.descending : false;
      Object.assign(state, { column, page: 0, initial: false });
      update();
    });
  });
  search.addEventListener("input", () => {
    Object.assign(state, { query: search.value.trim().toLowerCase(), page: 0 });
    update();
  });
  const turn = (by) => () => {
    state.page += by;
    draw();
  };
  previous.addEventListener("click", turn(-1));
  next.addEventListener("click", turn(1));
  state.initial = true;
  document.getElementById("summary-controls").hidden = false;
  update();
})();
