// What a result does in the browser: names under the pointer, a class alone, and clicks that ask the server.
const indices = new WeakMap();

function read(stage) {
  const image = stage.querySelector(".labels");
  if (!image.complete || !image.naturalWidth) return null;
  const known = indices.get(image);
  if (known && known.src === image.src) return known;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data, width, height } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = { src: image.src, data, width, height };
  indices.set(image, found);
  return found;
}

function at(stage, event) {
  const box = stage.getBoundingClientRect();
  const part = (value, size) => Math.min(Math.max(value / size, 0), 0.999999);
  return [part(event.clientX - box.left, box.width), part(event.clientY - box.top, box.height)];
}

function ask(stage, [x, y]) {
  trigger("click", { x: Math.floor(x * stage.dataset.width), y: Math.floor(y * stage.dataset.height) });
}

function name(stage, [x, y]) {
  const map = read(stage);
  if (!map) return "";
  const i = 4 * (Math.floor(y * map.height) * map.width + Math.floor(x * map.width));
  const button = element.querySelector(`[data-class="${map.data[i] + 256 * map.data[i + 1]}"]`);
  return button ? button.dataset.name : "";
}

function only(index) {
  for (const stage of element.querySelectorAll(".stage")) {
    const map = read(stage), canvas = stage.querySelector(".shade");
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (index === null || !map) continue;
    [canvas.width, canvas.height] = [map.width, map.height];
    const shade = context.createImageData(map.width, map.height);
    for (let i = 0; i < map.data.length; i += 4)
      if (map.data[i] + 256 * map.data[i + 1] !== index) shade.data.set([8, 12, 18, 190], i);
    context.putImageData(shade, 0, 0);
  }
}

function tell(stage, place, text) {
  for (const tip of element.querySelectorAll(".tip")) tip.hidden = true;
  if (!stage || !text) return;
  const tip = stage.querySelector(".tip");
  tip.hidden = false;
  tip.textContent = text;
  tip.style.left = `${100 * place[0]}%`;
  tip.style.top = `${100 * place[1]}%`;
  tip.classList.toggle("leftwards", place[0] > 0.7);
}

element.addEventListener("click", (event) => {
  const stage = event.target.closest(".stage"), button = event.target.closest("[data-class]");
  const link = event.target.closest("a[download]");
  if (stage) ask(stage, at(stage, event));
  else if (button) {
    const pressed = button.getAttribute("aria-pressed") === "true";
    trigger("select", { index: pressed ? -1 : +button.dataset.class });
  }
  else if (event.target.closest(".back")) trigger("select", { index: -1 });
  else if (link && !link.dataset.ready) {
    event.preventDefault(); // browsers limit the length of data addresses, but not of blobs
    fetch(link.href).then((answer) => answer.blob()).then((blob) => {
      const copy = document.createElement("a");
      copy.href = URL.createObjectURL(blob);
      copy.download = link.download;
      copy.click();
      setTimeout(() => URL.revokeObjectURL(copy.href), 10000);
    });
  }
});
element.addEventListener("pointermove", (event) => {
  const stage = event.target.closest(".stage");
  const place = stage && at(stage, event);
  tell(stage, place, stage && name(stage, place));
});
element.addEventListener("pointerleave", () => tell(null));
for (const [kind, active] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]])
  element.addEventListener(kind, (event) => {
    const button = event.target.closest("[data-class]");
    const shown = element.querySelector(".result");
    if (button && shown && shown.dataset.kind === "overlay") only(active ? +button.dataset.class : null);
  });
element.addEventListener("input", (event) => {
  if (event.target.matches(".strength input")) element.style.setProperty("--strength", event.target.value / 100);
});
element.addEventListener("keydown", (event) => {
  const stage = event.target.closest(".stage");
  if (event.key === "Escape" && element.querySelector(".back")) trigger("select", { index: -1 });
  if (!stage) return;
  const cross = stage.querySelector(".cross");
  const place = [parseFloat(cross.style.left) / 100 || 0.5, parseFloat(cross.style.top) / 100 || 0.5];
  const step = event.shiftKey ? 0.1 : 0.02;
  const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (event.key === "Enter") ask(stage, place);
  if (!move) return;
  event.preventDefault();
  const next = place.map((value, i) => Math.min(Math.max(value + move[i], 0), 0.9999));
  Object.assign(cross.style, { display: "block", left: `${100 * next[0]}%`, top: `${100 * next[1]}%` });
  tell(stage, next, name(stage, next));
});
watch("value", () => { only(null); tell(null); });
