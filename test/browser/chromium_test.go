//go:build browser

package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/backgroundservice"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"

	"reveille/push/pushsim"
)

// findBrowser returns the path of the browser.
func findBrowser() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("Chromium is not installed; `make e2e-browser` installs it")
}

// A chromium is a running browser. It outlives its pages, as it does on a phone.
type chromium struct {
	r   *rig
	ctx context.Context // of an empty page that keeps the browser open

	// notified gets the titles of the notifications that are shown.
	notified chan string

	mu           sync.Mutex                   // guards registration
	registration serviceworker.RegistrationID // of the page's service worker
}

// encrypts says that subscriptions have keys for payloads.
const encrypts = false

// subscribedKey is an expression whose value is the VAPID key that the page
// subscribed with.
const subscribedKey = `localStorage.getItem('key')`

// subscription stands in for the browser maker's push service: pages subscribe
// at ours, and tell with which key.
const subscription = `
PushManager.prototype.getSubscription = async () =>
  localStorage.getItem('endpoint') ? { endpoint: localStorage.getItem('endpoint') } : null
PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
  localStorage.setItem('key', applicationServerKey)
  localStorage.setItem('endpoint', %q)
  return { endpoint: localStorage.getItem('endpoint') }
}`

// browser starts Chromium.
func (r *rig) browser() webBrowser {
	r.t.Helper()
	path, err := findBrowser()
	if err != nil {
		r.t.Fatal(err)
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU,
		chromedp.UserDataDir(r.t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("ignore-certificate-errors-spki-list", r.pin),
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"), chromedp.Flag("allow-loopback-in-peer-connection", true),
	)
	ctx, cancel := chromedp.NewContext(alloc)
	c := &chromium{r: r, ctx: ctx, notified: make(chan string, 16)}
	r.t.Cleanup(func() {
		// The folder of the profile is in use until the browser has ended.
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
	})
	if err := chromedp.Listen(ctx, c.observe); err != nil {
		r.t.Fatalf("start %s: %v", path, err)
	}
	if _, err := chromedp.Call(ctx, serviceworker.Enable, cdp.Empty{}); err != nil {
		r.t.Fatal(err)
	}
	const notifications = backgroundservice.ServiceNameNotifications
	if _, err := chromedp.Call(ctx, backgroundservice.StartObserving, backgroundservice.StartObservingParams{Service: notifications}); err != nil {
		r.t.Fatal(err)
	}
	recording := backgroundservice.SetRecordingParams{ShouldRecord: true, Service: notifications}
	if _, err := chromedp.Call(ctx, backgroundservice.SetRecording, recording); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range []string{"notifications", "microphone"} {
		if _, err := chromedp.CallBrowser(ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: r.origin(),
		}); err != nil {
			r.t.Fatal(err)
		}
	}
	return c
}

// observe keeps what the browser tells of service workers.
func (c *chromium) observe(event any) {
	switch e := event.(type) {
	case *serviceworker.EventWorkerRegistrationUpdated:
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, r := range e.Registrations {
			if strings.HasPrefix(r.ScopeURL, c.r.page) && !r.IsDeleted {
				c.registration = r.RegistrationID
			}
		}
	case *backgroundservice.EventBackgroundServiceEventReceived:
		if !strings.Contains(e.BackgroundServiceEvent.EventName, "displayed") {
			return
		}
		for _, m := range e.BackgroundServiceEvent.EventMetadata {
			if m.Key == "Title" {
				c.notified <- m.Value
			}
		}
	}
}

// deliver hands the browser a push without payload, as its push service would.
func (c *chromium) deliver(pushsim.Push) {
	c.r.t.Helper()
	c.mu.Lock()
	id := c.registration
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{
		Origin: c.r.origin(), RegistrationID: id,
	}); err != nil {
		c.r.t.Fatalf("deliver a push: %v", err)
	}
}

// A chromiumTab is an open page.
type chromiumTab struct{ ctx context.Context }

// open opens a page.
func (c *chromium) open(url string) *tab {
	t := c.r.t
	t.Helper()
	ctx, cancel := chromedp.NewContext(c.ctx)
	t.Cleanup(cancel)
	console := chromedp.Console(ctx)
	go func() {
		// Ends with the page.
		for m, err := range console {
			if err != nil {
				return
			}
			c.r.log.Write([]byte("page: " + m.String() + "\n"))
		}
	}()
	fake := page.AddScriptToEvaluateOnNewDocumentParams{Source: fmt.Sprintf(subscription, c.r.sim.SubscriptionURL("alice"))}
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, fake); err != nil {
		t.Fatal(err)
	}
	d := chromiumTab{ctx}
	if err := d.do(chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return &tab{c.r, d}
}

// do takes steps in the page.
func (p chromiumTab) do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

func (p chromiumTab) fill(field, text string) error {
	return p.do(chromedp.SendKeys(chromedp.CSS(`[name=`+field+`]`), text))
}

func (p chromiumTab) click(selector string) error {
	return p.do(chromedp.Click(chromedp.CSS(selector)))
}

func (p chromiumTab) eval(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[string](expression))
}

func (p chromiumTab) close() error { return chromedp.Cancel(p.ctx) }

// notification waits for the one that the service worker shows and returns the
// page that clicking on it opens. DevTools cannot click there.
func (c *chromium) notification() (url string) {
	c.r.t.Helper()
	select {
	case title := <-c.notified:
		if title != "Phone" {
			c.r.t.Errorf("a notification with the title %q is shown", title)
		}
	case <-time.After(patience):
		c.r.t.Fatal("no notification is shown")
	}
	return c.r.page + "?answer"
}
