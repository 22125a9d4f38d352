// The button of a session copies its commands, without the prompts and without what they print.
document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("[data-clipboard-target]");
    const code = button?.closest(".highlight")?.querySelector("code");
    if (!code?.querySelector(".gp")) return;
    const commands = code.cloneNode(true);
    commands.querySelectorAll(".gp, .go, nav").forEach((part) => part.remove());
    const lines = commands.textContent.split("\n").filter((line) => line.trim());
    button.setAttribute("data-clipboard-text", lines.join("\n"));
  },
  true,
);
