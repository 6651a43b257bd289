// Talking to the console's server: JSON in both directions, errors as exceptions with words for people.

export class ServerError extends Error {
  constructor(status, body) {
    super(body.error || `The console answered ${status}.`);
    this.status = status;
    this.body = body;
  }
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new ServerError(0, { error: "The console does not answer. Is it still running?" });
  }
  let body = {};
  try {
    body = await response.json();
  } catch { /* an error page: its status says enough */ }
  if (!response.ok) throw new ServerError(response.status, body);
  return body;
}

// `background`: the page asks by itself, which does not count as somebody being there.
export function getJson(url, values, background = false) {
  const query = new URLSearchParams(values);
  const headers = { Accept: "application/json" };
  if (background) headers["X-Background"] = "1";
  return answer(fetch(`${url}?${query}`, { headers }));
}

export function postForm(url, values) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  return answer(fetch(url, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": token },
    body: new URLSearchParams(values),
  }));
}
