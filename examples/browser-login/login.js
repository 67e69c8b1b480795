// Register, log in, stay logged in, log out. No framework and nothing to build: copy what you need.
//
// The refresh token is in a cookie that no script can read. The access token is in the variable below and nowhere else:
// it is gone when the page is, and the next page asks for another one.

// --- The session ---

const service = document.querySelector('meta[name=service]').content

/** `{ token, ends }` while somebody is logged in, as far as this page knows. */
let access = null

/** What the service says no with. */
class Refused extends Error {
  constructor(status, answer, retryAfter) {
    super(answer.error_description ?? `The service answered ${status}`)
    Object.assign(this, { status, code: answer.error, field: answer.field, reason: answer.reason, retryAfter })
  }
}

/** One request. Rejects with `Refused`, or with a `TypeError` when there is no answer. */
async function send(method, path, { body, bearer } = {}) {
  // A form or a link of another site cannot send this header, so that the service knows it was us.
  const headers = { 'X-Requested-With': 'fetch' }
  if (body) headers['Content-Type'] = 'application/json'
  if (bearer) headers.Authorization = `Bearer ${bearer}`
  const answer = await fetch(service + path, {
    method, headers, body: body && JSON.stringify(body),
    // The cookie also when the service has another origin than this page.
    credentials: 'include', cache: 'no-store', redirect: 'error',
  })
  if (answer.ok) return answer.status === 204 ? null : answer.json()
  const said = await answer.json().catch(() => ({}))
  throw new Refused(answer.status, said, answer.headers.get('Retry-After'))
}

// A refresh token works once. All requests that set the cookie or take it away wait for each other, over all tabs: two
// refreshes at once would look like a thief's, and an answer that comes late would undo what came before it.
const alone = (work) => navigator.locks.request('session', work)

/** Other tabs are told when somebody has logged in or out, and look again. */
const tabs = new BroadcastChannel('session')

function keep(tokens) {
  // A little early: better one refresh too many than a token that ends on its way.
  access = tokens && { token: tokens.access_token, ends: performance.now() + (tokens.expires_in - 10) * 1000 }
}

/** A request that opens or ends the session. */
async function change(method, path, options) {
  const tokens = await alone(async () => {
    const answer = await send(method, path, options)
    keep(answer)
    return answer
  })
  tabs.postMessage('changed')
  return tokens
}

const login = (body) => change('POST', '/login/', { body })
const register = (body) => change('POST', '/register/', { body })
const logout = (everywhere) => change('POST', everywhere ? '/logout/?all=true' : '/logout/')

/** Gets an access token for the cookie. Whether anybody is logged in; rejects when that cannot be told. */
function refresh(spent = access) {
  return alone(async () => {
    // Somebody else on this page may have done so while we waited.
    if (access !== spent) return access !== null
    try {
      keep(await send('POST', '/refresh/'))
    } catch (error) {
      // Only 401 says that nobody is logged in. Everything else may pass.
      if (error.status !== 401) throw error
      keep(null)
    }
    return access !== null
  })
}

/** A request of whoever is logged in. Your own API is asked in the same way. */
async function ask(method, path, body, request = send) {
  if (!access || access.ends < performance.now()) await refresh()
  const used = access
  try {
    return await request(method, path, { body, bearer: used?.token })
  } catch (error) {
    // The token has ended before its time. `invalid_credentials` is another matter: a wrong old password.
    if (error.status !== 401 || error.code !== 'invalid_token' || !(await refresh(used))) throw error
    return request(method, path, { body, bearer: access.token })
  }
}

const sessions = async () => (await ask('GET', '/sessions/')).sessions
const endSession = (id) => ask('DELETE', `/sessions/${encodeURIComponent(id)}/`)
// Every other session ends, and this one goes on under another cookie.
const changePassword = (body) => ask('POST', '/password/change/', body, change)

// --- The page ---

const element = (id) => document.getElementById(id)

function show(state) {
  for (const main of document.querySelectorAll('main')) main.hidden = main.id !== state
  document.body.dataset.state = state
}

// What the service has no sentence of its own for, or not one for people.
const SENTENCES = {
  taken: 'This is taken.',
  invalid_credentials: 'The name or the password is wrong.',
  temporarily_unavailable: 'There is too much to do. Try again in a moment.',
}

function sentence(error) {
  if (!(error instanceof Refused)) return 'The service cannot be reached.'
  if (error.status === 429) return `Too many attempts. Try again in ${error.retryAfter} seconds.`
  return SENTENCES[error.reason] ?? SENTENCES[error.code] ?? error.message
}

/** Sends a form by `work`, and shows at which field it was refused. */
function onSubmit(form, work) {
  const output = form.querySelector('output')
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const button = form.querySelector('button')
    for (const input of form.elements) input.removeAttribute('aria-invalid')
    output.textContent = ''
    button.disabled = true
    try {
      await work(Object.fromEntries(new FormData(form)))
      form.reset()
      await restore()
    } catch (error) {
      output.textContent = sentence(error)
      output.dataset.reason = error.reason ?? error.code ?? 'unreachable'
      const wrong = error.field && form.elements.namedItem(error.field)
      if (wrong) {
        wrong.setAttribute('aria-invalid', 'true')
        wrong.focus()
      }
    } finally {
      button.disabled = false
    }
  })
}

function onClick(button, work) {
  button.addEventListener('click', async () => {
    element('notice').textContent = ''
    try {
      await work()
      await restore()
    } catch (error) {
      // Not shown as logged out: the session may go on.
      element('notice').textContent = sentence(error)
    }
  })
}

function describe(session) {
  const item = document.createElement('li')
  const since = new Date(session.created_at * 1000).toLocaleString()
  // As text and never as HTML: what a program says of itself is written by others.
  item.textContent = `${session.user_agent ?? session.client_id}, since ${since} `
  item.dataset.id = session.id
  if (session.current) {
    item.append('(here)')
  } else {
    const button = document.createElement('button')
    button.textContent = 'Log out there'
    onClick(button, () => endSession(session.id))
    item.append(button)
  }
  return item
}

/** Shows what is the case. */
async function restore() {
  try {
    if (!access && !(await refresh())) return show('signed-out')
    element('sessions').replaceChildren(...(await sessions()).map(describe))
    show('signed-in')
  } catch (error) {
    show(error.status === 401 ? 'signed-out' : 'unreachable')
  }
}

onSubmit(element('login'), login)
onSubmit(element('register'), register)
onSubmit(element('password'), changePassword)
onClick(element('logout'), () => logout(false))
onClick(element('logout-everywhere'), () => logout(true))
onClick(element('retry'), () => {})
tabs.addEventListener('message', () => {
  keep(null)
  restore()
})
restore()
