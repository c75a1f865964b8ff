// A phone in a browser that a call can wake (RFC 8599 with Web Push). JsSIP does
// the SIP; sw.js shows a notification when a push comes and no page is open.
//
// It keeps the password in localStorage so that the page can log in by itself
// when a push opens it. Something less precious belongs there in a product.

const element = id => document.getElementById(id)
const say = state => { element('state').value = state }
const failed = error => say(`failed: ${error.message}`)

let phone // JsSIP.UA
let call // JsSIP.RTCSession

const account = () => JSON.parse(localStorage.getItem('account'))

// start opens the connection with these URI parameters in Contact. The instance
// stays the same for good: registering again replaces what there was.
function start ({ address, password, server, instance }, push) {
  return new JsSIP.UA({
    uri: `sip:${address}`,
    password,
    sockets: [new JsSIP.WebSocketInterface(server)],
    instance_id: instance,
    contact_uri: `sip:phone@${instance}.invalid;transport=ws;${push}`,
    register_expires: 24 * 3600,
    session_timers: false,
  })
}

// vapidKey asks the server for the key that subscriptions are bound to: a
// REGISTER that names the push service and has no subscription yet (RFC 8599
// §4.1 and §8.3).
function vapidKey (me) {
  return new Promise((resolve, reject) => {
    const ua = start(me, 'pn-provider=webpush')
    ua.on('registered', ({ response }) => {
      const capabilities = response.getHeaders('Feature-Caps').join()
      const key = /\+sip\.vapid="([^"]+)"/.exec(capabilities)
      ua.once('unregistered', () => {
        ua.stop()
        key ? resolve(key[1]) : reject(new Error('the server does not push to browsers'))
      })
      ua.unregister()
    })
    ua.on('registrationFailed', ({ cause }) => { ua.stop(); reject(new Error(cause)) })
    ua.start()
  })
}

// subscribe returns the push subscription, a new one if there is none.
async function subscribe (me) {
  await navigator.serviceWorker.register('sw.js')
  const { pushManager } = await navigator.serviceWorker.ready
  return await pushManager.getSubscription() ??
    await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: await vapidKey(me) })
}

const base64url = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

// wakeParameters say how this page is woken. RFC 8599 §4.1: pn-prid is the
// subscription's URL; JsSIP writes parameters as they are, so it has to be escaped
// here. The keys are an extension: with them, a server that may do so (payload:
// true) tells sw.js why.
function wakeParameters (subscription) {
  const parameters = ['pn-provider=webpush', `pn-prid=${encodeURIComponent(subscription.endpoint)}`]
  const [point, auth] = ['p256dh', 'auth'].map(name => subscription.getKey?.(name))
  if (point && auth) parameters.push(`pn-p256dh=${base64url(point)}`, `pn-auth=${base64url(auth)}`)
  return parameters.join(';')
}

async function login (me) {
  say('logging in')
  phone = start(me, wakeParameters(await subscribe(me)))
  phone.on('registered', () => {
    if (!call) say('registered')
    closeNotification()
  })
  phone.on('registrationFailed', ({ cause }) => say(`refused: ${cause}`))
  phone.on('disconnected', () => { if (!call) say('disconnected') })
  phone.on('newRTCSession', incoming)
  phone.on('newMessage', ({ originator, request }) => {
    if (originator === 'remote') element('message').value = request.body
  })
  phone.start()
  element('logout').disabled = false
}

// closeNotification takes back what sw.js shows: the page is awake.
async function closeNotification () {
  const worker = await navigator.serviceWorker.ready
  for (const n of await worker.getNotifications({ tag: 'wake' })) n.close()
}

// incoming takes a call; at once, if the page was opened by clicking on the
// notification.
function incoming ({ session, originator }) {
  if (originator !== 'remote') return
  if (call) return session.terminate({ status_code: 486 })
  call = session
  say('ringing')
  element('answer').disabled = element('hangup').disabled = false
  session.on('peerconnection', ({ peerconnection }) => {
    peerconnection.ontrack = ({ streams }) => { element('voice').srcObject = streams[0] }
  })
  session.on('confirmed', () => say('in a call'))
  for (const end of ['ended', 'failed']) {
    session.on(end, () => {
      call = undefined
      say('registered')
      element('answer').disabled = element('hangup').disabled = true
    })
  }
  if (new URLSearchParams(location.search).has('answer')) answer()
}

function answer () {
  element('answer').disabled = true
  call.answer({ mediaConstraints: { audio: true, video: false } })
}

element('answer').onclick = answer
element('hangup').onclick = () => call.terminate()

element('logout').onclick = () => {
  element('logout').disabled = true
  phone.once('unregistered', () => {
    phone.stop()
    localStorage.removeItem('account')
    say('logged out')
  })
  phone.unregister()
}

element('login').onsubmit = async event => {
  event.preventDefault()
  const form = Object.fromEntries(new FormData(event.target))
  const me = { ...form, instance: account()?.instance ?? crypto.randomUUID() }
  // Browsers ask the user only as the answer to a click.
  await Notification.requestPermission()
  await login(me).then(() => localStorage.setItem('account', JSON.stringify(me)), failed)
}

// A push while the page is open: the connection may be dead without knowing.
navigator.serviceWorker.addEventListener('message', ({ data }) => {
  if (data === 'wake' && phone?.isConnected()) phone.register()
})

if (account()) login(account()).catch(failed)
