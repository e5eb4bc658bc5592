"use strict";

// Filters: text, section, provider, status. Choosing a provider shows its words instead of the weakest ones.
(() => {
  const rows = [...document.querySelectorAll("#rows .row")];
  const chapters = [...document.querySelectorAll(".chapter")];
  const form = document.querySelector(".filters");
  const text = document.getElementById("text");
  const section = document.getElementById("section");
  const provider = document.getElementById("provider");
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const statusOf = (row) => (provider && provider.value !== "" ? row.dataset["p" + provider.value] : row.dataset.s);

  const apply = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const statuses = new Set([...form.querySelectorAll("[name=status]:checked")].map((box) => box.value));
    let shown = 0;
    for (const row of rows) {
      const status = statusOf(row);
      const pill = row.querySelector("summary .pill");
      pill.textContent = status;
      pill.className = "pill is-" + status;
      const matches =
        (!form.querySelector(`[name=status][value=${status}]`) || statuses.has(status)) &&
        (!section.value || row.dataset.section === section.value) &&
        wanted.every((word) => words.get(row).includes(word));
      row.hidden = !matches;
      shown += matches;
    }
    for (const chapter of chapters) {
      const inside = [...chapter.querySelectorAll(".row")];
      chapter.hidden = inside.length > 0 && inside.every((row) => row.hidden);
    }
    document.getElementById("shown").textContent =
      shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) {
      text.value = "";
      apply();
    }
  });

  // A link to a row or invariant opens it, even if the filters had hidden it.
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const group = target.closest("details");
    if (group) {
      group.hidden = false;
      const chapter = group.closest(".chapter");
      if (chapter) chapter.hidden = false;
      group.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", reveal);
  apply();
  reveal();
})();
