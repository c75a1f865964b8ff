//go:build browser

package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"reveille/internal/console"
	"reveille/internal/console/consoletest"
)

// patience bounds every wait for the browser.
const patience = 20 * time.Second

// axeFile is where .ci/install-browser puts axe-core.
const axeFile = "../../.ci/browser/node_modules/axe-core/axe.min.js"

// serve serves a console of s and returns its URL.
func serve(t *testing.T, s *consoletest.Server, now func() time.Time) string {
	t.Helper()
	return serveConsole(t, console.Options{Source: s.Source(), Door: s, Now: now})
}

func serveConsole(t *testing.T, o console.Options) string {
	t.Helper()
	c, err := console.New(o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(console.Path, c)
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

// startBrowser starts Chromium and returns the context of its first tab.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("Chromium is not installed; `make e2e-browser` installs it")
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU,
		chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("force-color-profile", "srgb"),
	)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		// The folder of the profile is in use until the browser has ended.
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
	})
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[int]("1")); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// A tab is an open page of the console.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
}

// watch has each page remember what went wrong in it.
const watch = `window.wrong = []
addEventListener('securitypolicyviolation', e => wrong.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI))
addEventListener('error', e => wrong.push('error: ' + e.message), true)
addEventListener('unhandledrejection', e => wrong.push('rejection: ' + e.reason))`

// open opens the console of url in the only tab of a browser of its own: tabs behind
// others draw nothing.
func open(t *testing.T, url string) *tab {
	t.Helper()
	b := &tab{t, startBrowser(t), url}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch}); err != nil {
		t.Fatal(err)
	}
	return b
}

// login logs in by the form.
func (b *tab) login(token string) *tab {
	b.t.Helper()
	b.visit("/console/")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), token), chromedp.Click(chromedp.CSS("button.first")))
	b.until("document.querySelector('#menu')")
	return b
}

// look has the screen be of a size, and the machine be set to "dark" or "light".
func (b *tab) look(colours string, width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	prefers := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, prefers); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// visit opens a page.
func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// eval returns the text that an expression of JavaScript has as its value.
func (b *tab) eval(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, awaited))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return text
}

func awaited(p *runtime.EvaluateParams) {
	yes := true
	p.AwaitPromise = &yes
}

// until waits until an expression is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		// While a page gives way to the next, nothing can be asked of it.
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s (%v); the page is %.2000s", expression, err, b.eval("document.body.innerText"))
		}
		<-tick.C
	}
}

// sound reports what went wrong in the page, and whether it is wider than the screen.
func (b *tab) sound(what string) {
	b.t.Helper()
	if wrong := b.eval("JSON.stringify(window.wrong)"); wrong != "[]" {
		b.t.Errorf("%s: %s", what, wrong)
	}
	wide := b.eval(`(() => { const d = document.documentElement
		if (d.scrollWidth <= d.clientWidth) return ''
		return d.scrollWidth + ' > ' + d.clientWidth + ': ' + [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > d.clientWidth + 1 && !e.closest('.scroll, pre')).slice(0, 3).map(e => e.outerHTML.slice(0, 160)).join(' | ')
	})()`)
	if wide != "" {
		b.t.Errorf("%s: the page scrolls sideways: %s", what, wide)
	}
}

// accessible has axe-core look at the page.
func (b *tab) accessible(axe, what string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](axe))
	out := b.eval(`axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map(v => ({impact: v.impact, id: v.id, help: v.help, where: v.nodes.slice(0, 3).map(n => n.html.slice(0, 160) + ' ' + n.failureSummary)}))))`)
	var found []struct {
		Impact, ID, Help string
		Where            []string
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found {
		b.t.Errorf("%s: axe: %s: %s: %s\n%s", what, v.Impact, v.ID, v.Help, strings.Join(v.Where, "\n"))
	}
}

// loadAxe reads axe-core.
func loadAxe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(axeFile)
	if err != nil {
		t.Fatalf("axe-core is not there; .ci/install-browser installs it: %v", err)
	}
	// The value of the script is nothing that could be handed over.
	return string(source) + ";undefined"
}

// picture takes one of what is seen, or of the whole page.
func (b *tab) picture(whole bool) []byte {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	png, err := chromedp.Run(ctx, take)
	if err != nil {
		b.t.Fatal(err)
	}
	return png
}
