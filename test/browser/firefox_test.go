//go:build firefox && !browser

package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"reveille/push/pushsim"
)

// findBrowser returns the path of the browser.
func findBrowser() (string, error) {
	for _, name := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("Firefox is not installed; `make e2e-firefox` installs it")
}

// A firefox is a running browser with an empty profile. It outlives its pages, as
// it does on a phone.
type firefox struct {
	r       *rig
	bidi    *bidi
	service *pushService
}

// preferences are what this Firefox does otherwise than others.
func preferences(service string) map[string]any {
	return map[string]any{
		// It takes pushes from our push service. What it sets for those who drive it
		// by itself would turn pushes off.
		"remote.prefs.recommended":                false,
		"dom.push.serverURL":                      service,
		"dom.push.testing.allowInsecureServerURL": true,
		"dom.push.testing.ignorePermission":       true,
		// It asks nobody for permission, shows notifications without a desktop, and
		// has a pretend microphone.
		"permissions.default.desktop-notification": 1,
		"alerts.useSystemBackend":                  false,
		"media.navigator.streams.fake":             true,
		"media.navigator.permission.disabled":      true,
		"media.autoplay.default":                   0,
		// It is alone on its machine: whoever else it wants to talk to is behind a
		// proxy that does not exist.
		"network.proxy.type":                         1,
		"network.proxy.socks":                        "127.0.0.1",
		"network.proxy.socks_port":                   9,
		"network.proxy.socks_remote_dns":             true,
		"network.captive-portal-service.enabled":     false,
		"network.connectivity-service.enabled":       false,
		"app.update.disabledForTesting":              true,
		"browser.shell.checkDefaultBrowser":          false,
		"browser.startup.homepage_override.mstone":   "ignore",
		"datareporting.policy.dataSubmissionEnabled": false,
		"services.settings.server":                   "data:,#remote-settings-dummy/v1",
		"toolkit.telemetry.server":                   "",
	}
}

// encrypts says that subscriptions have keys for payloads.
const encrypts = true

// subscribedKey is an expression whose value is the VAPID key that the page
// subscribed with.
const subscribedKey = `navigator.serviceWorker.ready.then(r => r.pushManager.getSubscription())` +
	`.then(s => new Uint8Array(s.options.applicationServerKey).toBase64({ alphabet: 'base64url', omitPadding: true }))`

// browser starts Firefox.
func (r *rig) browser() webBrowser {
	t := r.t
	t.Helper()
	path, err := findBrowser()
	if err != nil {
		t.Fatal(err)
	}
	f := &firefox{r: r, service: r.pushService()}
	profile := t.TempDir()
	var prefs strings.Builder
	for name, value := range preferences(f.service.url) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		prefs.WriteString(`user_pref("` + name + `", ` + string(text) + ");\n")
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
	cmd.Env = append(os.Environ(), "HOME="+profile, "MOZ_CRASHREPORTER_DISABLE=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	t.Cleanup(func() {
		// The folder of the profile is in use until the browser has ended.
		if f.bidi == nil || f.bidi.quit() != nil {
			cmd.Process.Kill()
		}
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	var driver string
	for driver == "" && lines.Scan() {
		r.log.Write([]byte("firefox: " + lines.Text() + "\n"))
		_, driver, _ = strings.Cut(lines.Text(), "WebDriver BiDi listening on ")
	}
	if driver == "" {
		t.Fatal("Firefox does not start")
	}
	go func() {
		// Ends with the browser.
		for lines.Scan() {
			r.log.Write([]byte("firefox: " + lines.Text() + "\n"))
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f.bidi, err = dialBiDi(ctx, driver, func(line string) { r.log.Write([]byte("page: " + line + "\n")) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// do gives the browser a command; result may be nil.
func (f *firefox) do(method string, params, result any) {
	f.r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := f.bidi.do(ctx, method, params, result); err != nil {
		f.r.t.Fatal(err)
	}
}

// open opens a page.
func (f *firefox) open(url string) *tab {
	f.r.t.Helper()
	var created struct{ Context string }
	f.do("browsingContext.create", map[string]any{"type": "tab"}, &created)
	f.do("browsingContext.navigate", map[string]any{"context": created.Context, "url": url, "wait": "complete"}, nil)
	return &tab{f.r, firefoxTab{f, created.Context}}
}

// deliver sends the browser a push over its connection to the push service.
func (f *firefox) deliver(p pushsim.Push) {
	f.r.t.Helper()
	if err := f.service.deliver(p); err != nil {
		f.r.t.Fatal(err)
	}
}

// notification waits for the one that the service worker shows and returns the
// page that clicking on it opens. A browser without a screen has nothing to click
// on: another page of the origin looks for it.
func (f *firefox) notification() (url string) {
	t := f.r.t
	t.Helper()
	p := f.open(f.r.page + "sw.js")
	const shown = `navigator.serviceWorker.getRegistration('/').then(r => r.getNotifications())`
	var title string
	if !within(patience, func() bool {
		title = p.eval(shown + `.then(n => n.map(n => n.title).join())`)
		return title != ""
	}) {
		t.Fatal("no notification is shown")
	}
	if title != "Phone" {
		t.Errorf("a notification with the title %q is shown", title)
	}
	// What the push said, for those that have a payload.
	if body, reads := p.eval(shown+`.then(n => n[0].body)`), f.r.stack.keys; (body == "Somebody is calling. Click to answer." ||
		body == "There is a message for you. Click to read it.") != reads {
		t.Errorf("the notification says %q, want what the payload says: %t", body, reads)
	}
	url = p.eval(shown + `.then(n => n[0].data.page)`)
	if err := p.d.close(); err != nil {
		t.Fatal(err)
	}
	return url
}

// A firefoxTab is an open page.
type firefoxTab struct {
	f       *firefox
	context string // the browser's name for it
}

// eval returns the text that an expression of JavaScript, or what it promises,
// has as its value.
func (p firefoxTab) eval(expression string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var answer struct {
		Type   string
		Result struct {
			Type  string
			Value json.RawMessage
		}
		ExceptionDetails struct{ Text string }
	}
	if err := p.f.bidi.do(ctx, "script.evaluate", map[string]any{
		"expression": expression, "target": map[string]any{"context": p.context}, "awaitPromise": true, "userActivation": true,
	}, &answer); err != nil {
		return "", err
	}
	if answer.Type != "success" {
		return "", errors.New(answer.ExceptionDetails.Text)
	}
	if answer.Result.Type != "string" {
		return "", nil
	}
	var text string
	err := json.Unmarshal(answer.Result.Value, &text)
	return text, err
}

func (p firefoxTab) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.f.bidi.do(ctx, "browsingContext.close", map[string]any{"context": p.context}, nil)
}

// run evaluates an expression that is true once it has done something.
func (p firefoxTab) run(expression string) error {
	done := within(patience, func() bool {
		text, err := p.eval("String(" + expression + ")")
		return err == nil && text == "true"
	})
	if !done {
		return errors.New("it is not there")
	}
	return nil
}

func (p firefoxTab) fill(field, text string) error {
	return p.run(fmt.Sprintf(`(e => e ? (e.value = %q, true) : false)(document.querySelector('[name=%s]'))`, text, field))
}

func (p firefoxTab) click(selector string) error {
	return p.run(fmt.Sprintf(`(e => e ? (e.click(), true) : false)(document.querySelector(%q))`, selector))
}
