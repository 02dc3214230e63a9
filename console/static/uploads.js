// Sends the file of a form as it is: a browser reads it from the disk part by part.
"use strict";
(() => {
  const form = document.querySelector("[data-upload]");
  const refused = document.querySelector("[data-refused]");
  const sending = document.querySelector("[data-sending]");
  const button = form.querySelector("button");

  function refuse(said) {
    sending.textContent = "";
    button.disabled = false;
    refused.textContent = said;
    refused.hidden = false;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = form.querySelector("input").files[0];
    const kind = file.name.toLowerCase().endsWith(".parquet") ? "application/vnd.apache.parquet" : "text/csv";
    refused.hidden = true;
    button.disabled = true;
    sending.textContent = "sending…";
    try {
      const answer = await fetch(form.dataset.upload, {
        method: "POST",
        body: file,
        headers: { "content-type": kind, "x-token": form.dataset.token },
      });
      if (answer.status === 204) location.assign(form.dataset.upload);
      else if (answer.redirected || answer.status === 401) location.reload();
      else refuse((answer.headers.get("content-type") ?? "").startsWith("text/plain") ? await answer.text() : `expected the file to be taken, found status ${answer.status}; open the page again`);
    } catch {
      refuse("expected the whole file to be taken, found the connection closed; it may be too large, or the console does not answer");
    }
  });
})();
