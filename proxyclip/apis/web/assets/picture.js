// The drawn scenes, of which a click tells the server the number; and pictures pasted from the clipboard.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-example]");
  if (button) trigger("select", { index: +button.dataset.example });
});
document.addEventListener("paste", (event) => {
  const input = document.querySelector("#file input[type=file]");
  if (!input || !event.clipboardData.files.length) return;
  input.files = event.clipboardData.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
