// The example phone of configs/examples/browser with SIP.js in the place of
// JsSIP. It is a page to test with: see the example for what is to be known.
const { Registerer, RegistererState, SessionState, Subscriber, UserAgent } = SIP

const element = id => document.getElementById(id)
const say = state => { element('state').value = state }
const failed = error => say(`failed: ${error.message}`)
const account = () => JSON.parse(localStorage.getItem('account'))

let phone // { ua, registerer }
let call // SIP.Invitation

function start ({ address, password, server, instance }, push, delegate) {
  const uri = UserAgent.makeURI(`sip:${address}`)
  const ua = new UserAgent({
    uri,
    authorizationUsername: uri.user,
    authorizationPassword: password,
    transportOptions: { server },
    instanceId: instance,
    contactName: 'phone',
    contactParams: { transport: 'ws', 'pn-provider': 'webpush', ...push },
    logBuiltinEnabled: false,
    delegate,
  })
  return { ua, registerer: new Registerer(ua, { regId: 1, expires: 24 * 3600 }) }
}

function vapidKey (me) {
  const { ua, registerer } = start(me, {})
  return new Promise((resolve, reject) => {
    const onAccept = ({ message }) => {
      const capabilities = message.getHeaders('Feature-Caps').join()
      resolve(/\+sip\.vapid="([^"]+)"/.exec(capabilities)?.[1])
    }
    const onReject = ({ message }) => reject(new Error(message.statusCode))
    ua.start().then(() => registerer.register({ requestDelegate: { onAccept, onReject } })).catch(reject)
  }).finally(() => registerer.unregister().then(() => ua.stop()))
}

async function subscribe (me) {
  await navigator.serviceWorker.register('sw.js')
  const { pushManager } = await navigator.serviceWorker.ready
  return await pushManager.getSubscription() ??
    await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: await vapidKey(me) })
}

async function login (me) {
  say('logging in')
  const { endpoint } = await subscribe(me)
  phone = start(me, { 'pn-prid': encodeURIComponent(endpoint) }, {
    onInvite: incoming,
    onMessage: async message => {
      element('message').value = message.request.body
      await message.accept()
    },
  })
  phone.registerer.stateChange.addListener(state => {
    if (!call && state === RegistererState.Registered) say('registered')
  })
  await phone.ua.start()
  await phone.registerer.register()
  element('logout').disabled = false
  if (new URLSearchParams(location.search).has('watch')) watch()
}

// watch shows what the user's own registration is like (RFC 3680 §5).
function watch () {
  const contacts = new Map()
  let version = -1
  const onNotify = async notification => {
    await notification.accept()
    const reginfo = new DOMParser().parseFromString(notification.request.body, 'application/xml').documentElement
    const full = reginfo.getAttribute('state') === 'full'
    const next = Number(reginfo.getAttribute('version'))
    if (!full && next !== version + 1) return failed(new Error(`version ${next} after ${version}`))
    version = next
    if (full) contacts.clear()
    for (const contact of reginfo.getElementsByTagNameNS('urn:ietf:params:xml:ns:reginfo', 'contact')) {
      const id = contact.getAttribute('id')
      contact.getAttribute('state') === 'active' ? contacts.set(id, contact) : contacts.delete(id)
    }
    const uris = [...contacts.values()].map(contact => contact.firstElementChild.textContent)
    element('watched').value = `${uris.length} phones${uris.some(uri => uri.includes('pn-')) ? ', with a token' : ''}`
  }
  const subscriber = new Subscriber(phone.ua, phone.ua.configuration.uri, 'reg', { extraHeaders: ['Accept: application/reginfo+xml'] })
  subscriber.delegate = { onNotify }
  subscriber.subscribe().catch(failed)
}

function incoming (invitation) {
  if (call) return invitation.reject({ statusCode: 486 })
  call = invitation
  say('ringing')
  element('answer').disabled = element('hangup').disabled = false
  call.stateChange.addListener(state => {
    if (state === SessionState.Established) say('in a call')
    if (state === SessionState.Terminated) {
      call = undefined
      say('registered')
      element('answer').disabled = element('hangup').disabled = true
    }
  })
  if (new URLSearchParams(location.search).has('answer')) answer()
}

function answer () {
  element('answer').disabled = true
  call.accept({ sessionDescriptionHandlerOptions: { constraints: { audio: true, video: false } } }).catch(failed)
}

element('answer').onclick = answer
element('hangup').onclick = () => call.state === SessionState.Established ? call.bye() : call.reject()

element('logout').onclick = async () => {
  element('logout').disabled = true
  await phone.registerer.unregister({ requestDelegate: { onAccept: () => say('logged out') } })
  localStorage.removeItem('account')
}

element('login').onsubmit = async event => {
  event.preventDefault()
  const form = Object.fromEntries(new FormData(event.target))
  const me = { ...form, instance: account()?.instance ?? crypto.randomUUID() }
  await Notification.requestPermission()
  await login(me).then(() => localStorage.setItem('account', JSON.stringify(me)), failed)
}

if (account()) login(account()).catch(failed)
