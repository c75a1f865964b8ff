// The part of the phone that runs while no page of it is open.

self.addEventListener('push', event => event.waitUntil(wake(event.data?.json() ?? {})))

const reasons = {
  call: 'Somebody is calling. Click to answer.',
  message: 'There is a message for you. Click to read it.',
}

// wake is a push. Without a payload the server says that something waits, not what.
// It waits for as long as push.wait of the server says. Browsers take the
// subscription away from those who show nothing; a page that is open closes the
// notification when it has registered.
async function wake({ kind }) {
  const pages = await clients.matchAll({ type: 'window', includeUncontrolled: true })
  pages.forEach(page => page.postMessage('wake'))
  await registration.showNotification('Phone', {
    body: reasons[kind] ?? 'Somebody may be calling. Click to answer.',
    tag: 'wake',
    renotify: true,
    requireInteraction: true,
    data: { page: new URL('./?answer', registration.scope).href },
  })
}

self.addEventListener('notificationclick', event => {
  event.notification.close()
  event.waitUntil(show(event.notification.data.page))
})

// show brings up the page that is open, or opens one.
async function show(page) {
  const [open] = await clients.matchAll({ type: 'window', includeUncontrolled: true })
  return open ? open.focus() : clients.openWindow(page)
}
