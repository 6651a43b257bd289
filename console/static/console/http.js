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

export function getJson(url, values) {
  const query = new URLSearchParams(values);
  return answer(fetch(`${url}?${query}`, { headers: { Accept: "application/json" } }));
}

export function postForm(url, values) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  return answer(fetch(url, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": token },
    body: new URLSearchParams(values),
  }));
}
