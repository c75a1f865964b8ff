package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"reveille/internal/admin"
	"reveille/internal/contacts"
)

// Path is where the console is.
const Path = "/console/"

// CallbackPath is where an OpenID provider sends people back to.
const CallbackPath = Path + "login/callback"

// Options of a Console.
type Options struct {
	Source Source
	Door   Door
	// SignOn returns how people log in at an OpenID provider, nil if they do not. It may
	// return another each time. Nil: they never do.
	SignOn func() *SignOn
	// Ending is closed when the server stops: wakes under way end.
	Ending <-chan struct{}
	// Now is the time for pages; nil means time.Now. Pictures for the documentation
	// are taken at a fixed time.
	Now    func() time.Time
	Logger *slog.Logger
}

// A Console is an http.Handler for what is below Path.
type Console struct {
	source   Source
	door     Door
	ending   <-chan struct{}
	now      func() time.Time
	still    bool // the time is fixed
	log      *slog.Logger
	signOn   func() *SignOn
	sessions *sessions
	attempts *attempts
	pages    pages
	handler  http.Handler
}

// New returns a Console.
func New(o Options) (*Console, error) {
	if o.Door == nil || o.Source.State == nil || o.Source.Timeline == nil {
		return nil, errors.New("console: Door and Source are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Console{source: o.Source, door: o.Door, ending: o.Ending, now: o.Now, still: o.Now != nil, log: o.Logger, sessions: newSessions()}
	if c.now == nil {
		c.now = time.Now
	}
	if c.signOn = o.SignOn; c.signOn == nil {
		c.signOn = func() *SignOn { return nil }
	}
	var err error
	if c.attempts, err = newAttempts(); err != nil {
		return nil, err
	}
	if c.pages, err = parsePages(); err != nil {
		return nil, err
	}
	assets, err := newAssets()
	if err != nil {
		return nil, err
	}
	c.pages.assets = assets
	// A page elsewhere cannot send forms here, whatever cookies the browser has.
	c.handler = secured(http.NewCrossOriginProtection().Handler(c.routes(assets)))
	return c, nil
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

func (c *Console) routes(assets *assets) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET "+Path+"assets/{name}", assets)
	mux.HandleFunc("GET "+Path+"login", c.showLogin)
	mux.HandleFunc("POST "+Path+"login", c.login)
	mux.HandleFunc("GET "+Path+"login/sso", c.beginSignOn)
	mux.HandleFunc("GET "+CallbackPath, c.finishSignOn)
	mux.HandleFunc("POST "+Path+"theme", c.theme)
	mux.HandleFunc("POST "+Path+"logout", c.change(admin.Read, c.logout))
	c.show(mux, "{$}", admin.Read, c.overview)
	c.show(mux, "search", admin.Read, c.search)
	c.show(mux, "users", admin.Read, c.users)
	c.show(mux, "user", admin.Read, c.user)
	c.show(mux, "calls", admin.Read, c.calls)
	c.show(mux, "calls/{id}", admin.Read, c.call)
	c.show(mux, "waiting", admin.Read, c.waiting)
	c.show(mux, "services", admin.Read, c.services)
	c.show(mux, "bans", admin.Read, c.bans)
	if c.source.Messages != nil {
		c.show(mux, "messages", admin.Read, c.messages)
	}
	if c.source.Events != nil {
		c.show(mux, "events", admin.Read, c.events)
	}
	if c.source.Audit != nil {
		c.show(mux, "audit", admin.Read, c.audit)
	}
	c.show(mux, "configuration", admin.Admin, c.configuration)
	c.show(mux, "drop", admin.Operate, c.askDrop)
	mux.HandleFunc("POST "+Path+"wake", c.change(admin.Operate, c.wake))
	mux.HandleFunc("POST "+Path+"push", c.change(admin.Operate, c.testPush))
	mux.HandleFunc("POST "+Path+"drop", c.change(admin.Operate, c.drop))
	mux.HandleFunc("POST "+Path+"lift", c.change(admin.Operate, c.lift))
	c.show(mux, "", admin.Read, func(*http.Request, visitor) (page, error) { return page{}, errNotFound })
	return mux
}

// show serves a page to those who have a role.
func (c *Console) show(mux *http.ServeMux, path string, role admin.Role, build func(*http.Request, visitor) (page, error)) {
	mux.HandleFunc("GET "+Path+path, func(w http.ResponseWriter, r *http.Request) {
		v, err := c.enter(r)
		if err != nil {
			http.Redirect(w, r, Path+"login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if !v.may(role) {
			c.fail(w, r, v, errForbidden)
			return
		}
		p, err := build(r, v)
		switch {
		case err != nil:
			c.fail(w, r, v, err)
		case p.redirect != "":
			http.Redirect(w, r, p.redirect, http.StatusSeeOther)
		default:
			c.render(w, r, http.StatusOK, v, p)
		}
	})
}

// change has something done for those who have a role and sent a form of ours.
func (c *Console) change(role admin.Role, do func(http.ResponseWriter, *http.Request, visitor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := c.enter(r)
		if err != nil {
			http.Redirect(w, r, Path+"login", http.StatusSeeOther)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		switch {
		case !c.sessions.formTokenIs(v.key, r.PostFormValue("form")):
			c.fail(w, r, v, errForm)
		case !v.may(role):
			c.fail(w, r, v, errForbidden)
		default:
			do(w, r, v)
		}
	}
}

// A failure is an error with its status and words for the visitor.
type failure struct {
	status      int
	title, says string
}

// Error implements error.
func (f *failure) Error() string { return f.says }

// What a visitor may be told.
var (
	errNotFound  = &failure{http.StatusNotFound, "Not found", "There is no such page. It may have been one of a call that is forgotten by now."}
	errForbidden = &failure{http.StatusForbidden, "Not allowed", "Your role does not allow this. Somebody with the role operate or admin can do it."}
	errForm      = &failure{http.StatusForbidden, "Send it again", "This form was made for another session. Go back, reload the page and send it again."}
)

// fail answers with an error. What is not for visitors is logged.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v visitor, err error) {
	f, ok := errors.AsType[*failure](err)
	switch {
	case ok:
	case errors.Is(err, contacts.ErrNoUser):
		f = &failure{http.StatusNotFound, "No such user", "Nobody of that name belongs to a domain that is served here. Write it as alice@example.com."}
	case errors.Is(err, context.Canceled):
		f = &failure{http.StatusServiceUnavailable, "Stopping", "The server stops."}
	default:
		f = &failure{http.StatusServiceUnavailable, "Not available", "The server cannot say now: " + err.Error() + "."}
		c.log.Warn("console page failed", "path", r.URL.Path, "err", err)
	}
	c.render(w, r, f.status, v, page{Title: f.title, name: "failure", Body: f.says})
}

// secured sets the header fields that every answer has.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
			"form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
