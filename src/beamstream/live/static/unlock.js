// Give the server the key, get a cookie for it, and open what was asked for.

const words = document.getElementById("words");

document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = document.getElementById("key").value;
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) };
  const answer = await fetch("/unlock", options).catch(() => null);
  if (answer?.ok) return location.reload();
  words.textContent = (await answer?.json().catch(() => null))?.error ?? "the server did not answer";
});
