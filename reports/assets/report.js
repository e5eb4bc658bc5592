"use strict";

// Filters: text, words of status, and any choice whose name is a data attribute of the items. Choosing a
// provider shows its words instead of the weakest ones.
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const list = document.getElementById(form.dataset.filters);
  const items = [...list.querySelectorAll(".item")];
  const chapters = [...list.querySelectorAll(".chapter")];
  const { text, provider, order } = form.elements;
  const choices = ["section", "area"].map((name) => form.elements[name]).filter(Boolean);
  const boxes = [...form.querySelectorAll("[name=status]")];
  const words = new Map(items.map((item) => [item, `${item.textContent} ${item.dataset.words || ""}`.toLowerCase()]));

  const statusOf = (item) => (provider?.value ? item.dataset["p" + provider.value] : item.dataset.status);

  const apply = () => {
    const wanted = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    let shown = 0;
    for (const item of items) {
      const status = statusOf(item);
      if (provider) {
        const pill = item.querySelector(".pill");
        pill.textContent = status;
        pill.className = "pill is-" + status;
      }
      item.hidden = !(
        !hidden.has(status) &&
        choices.every((choice) => !choice.value || item.dataset[choice.name] === choice.value) &&
        wanted.every((word) => words.get(item).includes(word))
      );
      shown += !item.hidden;
    }
    for (const chapter of chapters) {
      const inside = [...chapter.querySelectorAll(".item")];
      chapter.hidden = inside.length > 0 && inside.every((item) => item.hidden);
    }
    const what = form.dataset.filters;
    form.querySelector("output").textContent =
      shown === items.length ? `${items.length} ${what}` : `${shown} of ${items.length} ${what}`;
  };

  const arrange = () => {
    const sorted = order.value ? [...items].sort((one, two) => two.dataset[order.value] - one.dataset[order.value]) : items;
    list.append(...sorted);
  };

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  order?.addEventListener("change", arrange);
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
  apply();
})();

// A link to something folded away opens it.
(() => {
  const reveal = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const group = target && target.closest("details");
    if (group) {
      group.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", reveal);
  reveal();
})();

