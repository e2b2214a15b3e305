// Keyboard shortcuts, and the sheet that names them: one table for both.

/** Connect shortcuts: `[keys, what it does, function]`; a key without a function is only named. */
export function connect(shortcuts, dialog, sheet) {
  for (const [keys, what] of shortcuts) {
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    for (const key of keys) {
      const cap = document.createElement("kbd");
      cap.textContent = key === " " ? "Space" : key.length === 1 ? key.toUpperCase() : key;
      term.append(cap, " ");
    }
    description.textContent = what;
    sheet.append(term, description);
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || typing(event)) return;
    const found = shortcuts.find(([keys, , act]) => act && keys.some((key) => key.toLowerCase() === event.key.toLowerCase()));
    if (!found) return;
    event.preventDefault();
    found[2]();
  });
}

/** Whether a key belongs to the field that has the focus. */
function typing({ target, key }) {
  if (target.matches("input:not([type=checkbox], [type=radio], [type=range]), select")) return true;
  return (key === " " || key === "Enter") && target.matches("button, input, summary, a");
}
