"use strict";
// Another pair of runs, from the data in the page. What is drawn here is what the page was written with for its first
// pair. The address keeps the pair: #compare=A,B.
(() => {
  const source = document.getElementById("data");
  if (!source) return;
  const { metrics, limits, sets, runs } = JSON.parse(source.textContent);
  const [selectA, selectB] = ["run-a", "run-b"].map((id) => document.getElementById(id));
  const SVG = document.querySelector("svg").namespaceURI;
  const find = (selector) => document.querySelector(selector);
  const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const signed = (value) =>
    (Number(value.toFixed(2)) === 0 ? "0.00" : (value > 0 ? "+" : "−") + Math.abs(value).toFixed(2));

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const cell = (...children) => make("td", { class: "n" }, ...children);
  const head = (text) => make("th", { scope: "row" }, text);
  const difference = (by) => make("span", { class: by > 0 ? "up" : by < 0 ? "down" : "" }, signed(by));
  const none = (columns, text) => make("tr", {}, make("td", { colspan: columns }, text));
  const fill = (id, children) => document.getElementById(id).replaceChildren(...children);

  function changes(names, a, b) {
    const found = [];
    names.forEach((name, i) => {
      const [one, other] = [a[i] ?? null, b[i] ?? null];
      if (one !== null && other !== null) found.push({ name, a: one, b: other, by: other - one });
    });
    return found;
  }

  function numbers(one, first, bar) {
    const cells = [cell(fixed(one.a)), cell(fixed(one.b)), ...(bar ? [bar] : []), cell(difference(one.by))];
    return make("tr", {}, first, ...cells);
  }

  function classRow(one, widest) {
    const width = `width:${(50 * Math.abs(one.by) / widest).toFixed(1)}%`;
    const bar = make("i", { class: one.by > 0 ? "up" : "down", style: width });
    const track = make("span", { class: "diverging", "aria-hidden": "true" }, bar);
    return numbers(one, head(one.name), make("td", { class: "wide" }, track));
  }

  function panel(content, title, alt) {
    let shown = make("p", { class: "missing" }, String(content));
    if (Array.isArray(content)) {
      shown = document.createElementNS(SVG, "svg");
      shown.setAttribute("viewBox", `0 0 ${content[1]} ${content[2]}`);
      shown.setAttribute("role", "img");
      shown.setAttribute("aria-label", alt);
      shown.append(document.createElementNS(SVG, "use"));
      shown.firstChild.setAttribute("href", `#${content[0]}`);
    }
    return make("figure", { class: "panel" }, shown, make("figcaption", {}, title));
  }

  function pictures(a, b, files) {
    const theirs = new Map(b.pictures.map(([file, ...rest]) => [file, rest]));
    const both = a.pictures.filter(([file]) => theirs.has(file)).slice(0, limits.pictured);
    if (!both.length) return [make("p", { class: "note" }, "No image is in the galleries of both.")];
    return both.map(([file, [image, truth, one], colours]) => {
      const [[, , other], others] = theirs.get(file);
      const value = (run) => make("b", {}, fixed(run.images[files.indexOf(file)], 1));
      const said = [make("span", {}, "A ", value(a)), make("span", {}, "B ", value(b))];
      const shown = [
        panel(image, "Image", `Image ${file}`),
        panel(truth, "Truth", `Truth of ${file}`),
        panel(one, "A", `Prediction of A for ${file}`),
        panel(other, "B", `Prediction of B for ${file}`),
      ];
      const title = make("header", {}, make("code", {}, file), ...said);
      const legend = Object.entries({ ...colours, ...others })
        .map(([name, colour]) => make("li", {}, make("i", { style: `background:${colour}` }), name));
      const rows = [make("div", { class: "panels" }, ...shown), make("ul", { class: "legend" }, ...legend)];
      return make("article", { class: "shot" }, title, ...rows);
    });
  }

  // Student's t with 95 % between -t and t, as intervals.py computes it.
  function studentQuantile(degrees) {
    if (degrees > 200) {
      const x = 1.959963984540054, [x2, x3] = [x * x, x ** 3];
      return x + (x3 + x) / 4 / degrees + x * (5 * x2 * x2 + 16 * x2 + 3) / 96 / degrees ** 2 +
        x * (3 * x2 ** 3 + 19 * x2 * x2 + 17 * x2 - 15) / 384 / degrees ** 3 +
        x * (79 * x2 ** 4 + 776 * x2 ** 3 + 1482 * x2 * x2 - 1920 * x2 - 945) / 92160 / degrees ** 4;
    }
    const odd = degrees % 2;
    const share = (angle) => {
      const cosine = Math.cos(angle);
      let term = odd ? cosine : 1, total = degrees > 1 ? term : 0;
      for (let k = 2 + odd; k < degrees - 1; k += 2) total += term *= (k - 1) / k * cosine * cosine;
      return odd ? 2 / Math.PI * (angle + Math.sin(angle) * total) : Math.sin(angle) * total;
    };
    let [low, high] = [0, Math.PI / 2];
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (share(middle) > 0.95) high = middle; else low = middle;
    }
    return Math.sqrt(degrees) * Math.tan((low + high) / 2);
  }

  function summary(images) {
    if (!images.length) return "The records have no numbers by image that could be compared.";
    const [better, worse] = [1, -1].map((sign) => grouped(images.filter((one) => Math.sign(one.by) === sign).length));
    const wins = `B is better on ${better} images, A on ${worse}, of ${grouped(images.length)}.`;
    if (images.length < limits.interval) {
      return `${wins} For a mean difference these are too few: it takes ${limits.interval}.`;
    }
    const mean = images.reduce((sum, one) => sum + one.by, 0) / images.length;
    const squares = images.reduce((sum, one) => sum + (one.by - mean) ** 2, 0);
    const spread = studentQuantile(images.length - 1) * Math.sqrt(squares / (images.length - 1) / images.length);
    return `${wins} Mean difference of an image ${signed(mean)} ± ${fixed(spread)} points (95 %, Student's t).`;
  }

  const changesOf = (a, b) => changes(sets[a.set].files, a.images, b.images).sort((one, other) => other.by - one.by);
  let dots = [];
  function render() {
    const [a, b] = [runs[selectA.value], runs[selectB.value]], { classes, files } = sets[a.set];
    find(".name-a").textContent = `${a.label} (${a.id})`;
    find(".name-b").textContent = `${b.label} (${b.id})`;
    find(".name-set").textContent = a.dataset;
    fill("cmp-metrics", changes(metrics, a.metrics, b.metrics).map((one) => numbers(one, head(one.name))));
    const [one, other] = [a.settings, b.settings], keys = Object.keys({ ...one, ...other });
    const settings = keys.filter((key) => one[key] !== other[key])
      .map((key) => make("tr", {}, head(key), ...[one, other].map((words) => make("td", {}, words[key] ?? "-"))));
    fill("cmp-settings", settings.length ? settings : [none(3, "None that the records have.")]);

    const moved = changes(classes, a.iou, b.iou).sort((one, other) => other.by - one.by);
    const widest = Math.max(1, ...moved.map((row) => Math.abs(row.by))), many = moved.length > limits.classes;
    const shown = many ? [...moved.slice(0, limits.classes / 2), ...moved.slice(-limits.classes / 2)] : moved;
    fill("cmp-classes", shown.map((one) => classRow(one, widest)));
    fill("cmp-all", many ? moved.map((one) => classRow(one, widest)) : []);
    document.getElementById("cmp-more").hidden = !many;

    const images = changesOf(a, b);
    const file = (name) => make("td", {}, make("code", {}, name));
    const listed = (rows) => (rows.length ? rows.map((row) => numbers(row, file(row.name))) : [none(4, "None.")]);
    fill("cmp-gains", listed(images.filter((one) => one.by > 0).slice(0, limits.listed)));
    fill("cmp-losses", listed(images.filter((one) => one.by < 0).reverse().slice(0, limits.listed)));
    for (const [name, sign] of [["up", 1], ["down", -1], ["same", 0]]) {
      const those = images.filter((row) => Math.sign(row.by) === sign);
      const path = those.map((row) => `M${row.a.toFixed(1)} ${(100 - row.b).toFixed(1)}h0`);
      find(`#cmp-scatter .${name}`).setAttribute("d", path.join(""));
    }
    fill("cmp-said", [summary(images)]);
    fill("cmp-pictures", pictures(a, b, files));
    dots = images;
  }

  function option(i) {
    const { dataset, label, id, metrics: [miou] } = runs[i];
    return make("option", { value: i }, `${dataset}: ${label} (${id}) ${fixed(miou)}`);
  }
  function offer(wantedA, wantedB) {
    const peers = [...runs.keys()].filter((i) => i !== wantedA && runs[i].set === runs[wantedA].set);
    selectA.value = wantedA;
    selectB.replaceChildren(...peers.map(option));
    selectB.value = peers.includes(wantedB) ? wantedB : peers[0];
  }
  const pairable = [...runs.keys()].filter((i) => runs.some((run, j) => j !== i && run.set === runs[i].set));
  selectA.replaceChildren(...pairable.map(option));

  function choose(a, b) {
    offer(Number(a), Number(b));
    render();
  }
  function chosen(a, b) {
    choose(a, b);
    const pair = [selectA, selectB].map((select) => encodeURIComponent(runs[select.value].id));
    history.replaceState(null, "", `#compare=${pair.join(",")}`);
  }
  selectA.addEventListener("change", () => chosen(selectA.value, selectB.value));
  selectB.addEventListener("change", () => chosen(selectA.value, selectB.value));
  document.getElementById("swap").addEventListener("click", () => chosen(selectB.value, selectA.value));

  const svg = document.getElementById("cmp-scatter"), cursor = svg.querySelector(".cursor");
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let near = null, least = 9;
    for (const one of dots) {
      const far = (one.a - at.x) ** 2 + (100 - one.b - at.y) ** 2;
      if (far < least) [near, least] = [one, far];
    }
    cursor.setAttribute("visibility", near ? "visible" : "hidden");
    if (!near) return hideTip();
    cursor.setAttribute("cx", near.a);
    cursor.setAttribute("cy", 100 - near.b);
    const said = `${near.name}: A ${fixed(near.a)}, B ${fixed(near.b)}, difference ${signed(near.by)}`;
    showTip(said, event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); hideTip(); });

  const index = (id) => runs.findIndex((run) => run.id === id);
  function fromAddress() {
    const [, a, b] = location.hash.match(/^#compare=([^,]+),(.+)$/) ?? [];
    const pair = [a, b].map((id) => index(decodeURIComponent(id ?? "")));
    if (!pair.includes(-1)) choose(...pair);
  }
  const first = source.dataset;
  offer(index(first.a), index(first.b));
  dots = changesOf(runs[selectA.value], runs[selectB.value]);
  fromAddress();
  addEventListener("hashchange", fromAddress);
})();
