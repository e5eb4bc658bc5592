
// Timelines: one lane for each process, one line for each step, time running down.
(() => {
  const timelines = JSON.parse(document.getElementById("timelines").textContent);
  const dialog = document.getElementById("viewer");
  const scroll = document.getElementById("viewer-scroll");
  const causeBox = document.getElementById("viewer-cause");
  const SVG = "http://www.w3.org/2000/svg";
  const LINE = 24, GAP = 22, TIME = 76, LANE = 76, TOP = 8;
  let made = null, ys = [], selected = 0, items = [], cursor = null;

  const svg = (name, attributes, parent) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.append(node);
    return node;
  };
  const element = (name, text, parent, className) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    if (parent) parent.append(node);
    return node;
  };
  const duration = (us) => {
    if (us > 0 && us < 1e6) return us < 1000 ? `${us} µs` : `${us / 1000} ms`;
    const seconds = Math.round(us / 1000) / 1000;
    if (seconds < 600) return `${seconds} s`;
    const minutes = Math.floor(seconds / 60);
    return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  };
  const xOf = (lane) => TIME + LANE / 2 + lane * LANE;

  const places = () => {
    let y = TOP;
    return made.marks.map((mark, index) => {
      y += index === 0 ? LINE / 2 : LINE;
      if (index > 0 && mark.gap_us > 0) y += GAP;
      return y;
    });
  };

  const heads = (width) => {
    const head = svg("svg", { class: "lane-heads", width: "100%", height: 30 });
    svg("text", { x: 16, y: 20, class: "when" }, head).textContent = "time";
    made.lanes.forEach((lane, index) => {
      const name = svg("text", { x: xOf(index), y: 20, "text-anchor": "middle" }, head);
      name.textContent = lane.name.length > 10 ? lane.name.slice(0, 9) + "…" : lane.name;
      svg("title", {}, name).textContent = lane.name;
    });
    return head;
  };

  const laneLines = (canvas, height) => {
    made.lanes.forEach((lane, index) => {
      const down = made.spans.filter((span) => span.lane === index && span.kind === "down");
      let from = 0;
      for (const span of down) {
        svg("line", { class: "lane-line", x1: xOf(index), x2: xOf(index), y1: from, y2: ys[span.first_line] }, canvas);
        const open = span.last_line === made.marks.length - 1;
        from = open ? height : ys[span.last_line];
        svg("line", { class: "lane-line is-down", x1: xOf(index), x2: xOf(index), y1: ys[span.first_line], y2: from }, canvas);
      }
      svg("line", { class: "lane-line", x1: xOf(index), x2: xOf(index), y1: from, y2: height }, canvas);
    });
  };

  const spans = (canvas) => {
    for (const span of made.spans.filter((each) => each.kind !== "down")) {
      const x = xOf(span.lane), first = ys[span.first_line], last = ys[span.last_line];
      if (span.kind === "lease") {
        const area = svg("rect", { class: "span-lease", x: x - 13, y: first - 11, width: 26, height: last - first + 22, rx: 8 }, canvas);
        svg("title", {}, area).textContent = `holds session ${span.label}`;
      } else {
        const bar = svg("line", { class: "span-handler", x1: x, x2: x, y1: first, y2: last }, canvas);
        svg("title", {}, bar).textContent = `runs ${span.label}`;
      }
    }
  };

  const marks = (canvas) => {
    made.marks.forEach((mark, index) => {
      const x = xOf(mark.lane), y = ys[index];
      const tone = `mark is-${mark.kind}${mark.failed ? " is-failed" : ""}${mark.violates ? " is-violating" : ""}`;
      const group = svg("g", { "data-line": index }, canvas);
      if (mark.violates) svg("circle", { class: "halo", cx: x, cy: y, r: 11 }, group);
      if (mark.kind === "fault") svg("path", { class: tone, d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` }, group);
      else if (mark.kind === "boot") svg("path", { class: tone, d: `M${x} ${y - 7}l7 12h-14z` }, group);
      else svg("circle", { class: tone, cx: x, cy: y, r: mark.kind === "local" ? 4 : 6.5 }, group);
      if (index === 0 || mark.gap_us > 0) {
        const when = svg("text", { class: "when" + (index ? " is-gap" : ""), x: 16, y: y + 4 - (index ? GAP / 1.4 : 0) }, canvas);
        when.textContent = index ? `+${duration(mark.gap_us)}` : duration(mark.t_us);
        if (index) svg("text", { class: "when", x: 16, y: y + 4 }, canvas).textContent = duration(mark.t_us);
      }
    });
  };

  const draw = () => {
    ys = places();
    const height = (ys.at(-1) ?? 0) + LINE, width = TIME + made.lanes.length * LANE + 12;
    const grid = element("div", undefined, undefined, "lanes");
    grid.append(heads(width));
    const canvas = svg("svg", { width, height }, grid);
    cursor = svg("rect", { class: "cursor", x: 0, width, height: LINE, y: 0 }, canvas);
    laneLines(canvas, height);
    spans(canvas);
    marks(canvas);
    canvas.addEventListener("click", (event) => {
      const group = event.target.closest("g[data-line]");
      if (group) select(Number(group.dataset.line));
    });
    const list = element("ol", undefined, grid, "lines");
    list.setAttribute("role", "presentation");
    items = made.marks.map((mark, index) => {
      const item = element("li", undefined, list, `is-${mark.kind}${mark.violates ? " is-violating" : ""}`);
      item.style.top = `${ys[index] - LINE / 2}px`;
      item.setAttribute("role", "option");
      item.id = `line-${index}`;
      element("b", mark.label, item);
      if (mark.detail) element("span", ` ${mark.detail}`, item);
      item.addEventListener("click", () => select(index));
      return item;
    });
    scroll.replaceChildren(grid);
    showCause();
  };

  const select = (index) => {
    selected = Math.max(0, Math.min(made.marks.length - 1, index));
    const mark = made.marks[selected];
    if (!mark) return;
    items.forEach((item, line) => item.setAttribute("aria-selected", line === selected));
    scroll.setAttribute("aria-activedescendant", `line-${selected}`);
    cursor.setAttribute("y", ys[selected] - LINE / 2);
    const top = ys[selected] + 30;
    if (top < scroll.scrollTop + 3 * LINE) scroll.scrollTop = top - 4 * LINE;
    if (top > scroll.scrollTop + scroll.clientHeight - 2 * LINE) scroll.scrollTop = top - scroll.clientHeight + 3 * LINE;
    document.getElementById("viewer-place").textContent = `${selected + 1} of ${made.marks.length}`;
    const panel = document.getElementById("viewer-step");
    panel.replaceChildren();
    element("h3", `${mark.label}`, panel);
    element("p", `step ${mark.n} · ${made.lanes[mark.lane].name} · ${duration(mark.t_us)}`, panel, "fine");
    if (mark.violates) element("p", `${made.rule}: ${made.why}`, panel, "why is-violated");
    const facts = element("dl", undefined, panel);
    for (const [name, value] of Object.entries(mark.members)) {
      element("dt", name.replaceAll("_", " "), facts);
      for (const each of Array.isArray(value) ? value : [value]) element("dd", String(each), facts);
    }
  };

  const showCause = () => {
    made.marks.forEach((mark, index) => {
      const aside = causeBox.checked && !mark.cause;
      items[index].classList.toggle("is-aside", aside);
      scroll.querySelector(`g[data-line="${index}"]`).classList.toggle("is-aside", aside);
    });
  };

  // The next line in a direction; lines outside the causal past are skipped while the box is checked.
  const step = (by) => {
    let index = selected + by;
    while (causeBox.checked && made.marks[index] && !made.marks[index].cause) index += by;
    if (made.marks[index]) select(index);
  };

  const show = (name) => {
    if (!Object.hasOwn(timelines, name)) return;
    made = timelines[name];
    const title = document.getElementById("viewer-title");
    title.replaceChildren();
    if (made.rule) element("code", made.rule + " ", title);
    title.append(`${made.scenario} on ${made.provider}`);
    document.getElementById("viewer-why").textContent = made.why;
    const replay = document.getElementById("viewer-replay");
    replay.replaceChildren();
    element("code", made.replay, replay);
    if (made.hidden) element("span", `${made.hidden} uneventful steps are left out`, replay, "fine");
    causeBox.checked = false;
    document.getElementById("viewer-broken").hidden = !made.rule;
    if (!dialog.open) dialog.showModal();
    draw();
    const violating = made.marks.findIndex((mark) => mark.violates);
    select(violating < 0 ? 0 : violating);
    scroll.focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-trace]");
    if (button) show(button.dataset.trace);
  });
  document.getElementById("viewer-close").addEventListener("click", () => dialog.close());
  document.getElementById("viewer-previous").addEventListener("click", () => step(-1));
  document.getElementById("viewer-next").addEventListener("click", () => step(1));
  causeBox.addEventListener("change", showCause);
  dialog.addEventListener("keydown", (event) => {
    const keys = {
      ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => step(1), ArrowLeft: () => step(-1),
      j: () => step(1), k: () => step(-1), Home: () => select(0), End: () => select(made.marks.length - 1),
      v: () => select(Math.max(0, made.marks.findIndex((mark) => mark.violates))),
      c: () => { if (made.rule) { causeBox.checked = !causeBox.checked; showCause(); } },
    };
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (action && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      action();
    }
  });

  // `#trace=NAME` opens a timeline, so that one can be linked to.
  const named = () => {
    if (location.hash.startsWith("#trace=")) show(decodeURIComponent(location.hash.slice(7)));
  };
  window.addEventListener("hashchange", named);
  named();
})();
