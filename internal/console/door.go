package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"reveille/internal/admin"
)

// A Door says who may come in. It is safe for concurrent use.
type Door interface {
	// Token returns who has a token. Wrong ones are counted by the address of r; the
	// error is a *admin.Locked if there were too many, else why it is not taken.
	Token(r *http.Request, token string) (admin.Principal, error)
	// Known returns who has the token of a session, if it is still one. Nothing is
	// counted.
	Known(token string) (admin.Principal, bool)
	// Certificate returns who has the client certificate of r, if there is a known one.
	Certificate(r *http.Request) (admin.Principal, bool)
}

// A visitor is who asks for a page.
type visitor struct {
	admin.Principal
	// key tells visitors apart in form tokens.
	key string
	// session is the cookie's value, empty for those who have a certificate.
	session string
}

// may reports whether the visitor has a role, or one above it.
func (v visitor) may(role admin.Role) bool { return v.Role >= role }

// errOutside says that somebody has to log in first.
var errOutside = errors.New("nobody is logged in")

// enter returns who sent a request. The token of the session is looked up each time:
// it may be gone from the configuration.
func (c *Console) enter(r *http.Request) (visitor, error) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		if token, ok := c.sessions.token(cookie.Value, c.now()); ok {
			if p, ok := c.door.Known(token); ok && p.Role >= admin.Read {
				return visitor{p, "session " + cookie.Value, cookie.Value}, nil
			}
			c.sessions.end(cookie.Value)
		}
	}
	if p, ok := c.door.Certificate(r); ok && p.Role >= admin.Read {
		return visitor{p, "certificate " + p.Name, ""}, nil
	}
	return visitor{}, errOutside
}

// loginPage is what the form to log in shows.
type loginPage struct {
	// Wrong is why the last try failed, empty before the first.
	Wrong string
	// Next is where to go afterwards.
	Next string
}

func (c *Console) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, err := c.enter(r); err == nil {
		http.Redirect(w, r, Path, http.StatusSeeOther)
		return
	}
	c.render(w, r, http.StatusOK, visitor{}, page{Title: "Log in", name: "login", Body: loginPage{Next: local(r.URL.Query().Get("next"))}})
}

// maxForm bounds a form in bytes.
const maxForm = 16 << 10

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	next := local(r.PostFormValue("next"))
	p, err := c.door.Token(r, strings.TrimSpace(r.PostFormValue("token")))
	if err == nil && p.Role < admin.Read {
		err = errors.New("this token is not for people: it is for events alone")
	}
	if err != nil {
		status := http.StatusUnauthorized
		if locked, ok := errors.AsType[*admin.Locked](err); ok {
			status = http.StatusTooManyRequests
			w.Header().Set("Retry-After", seconds(locked.For))
		}
		c.log.Info("console login failed", "remote", r.RemoteAddr, "err", err)
		c.render(w, r, status, visitor{}, page{Title: "Log in", name: "login", Body: loginPage{Wrong: sentence(err.Error()), Next: next}})
		return
	}
	// A session that somebody else may have planted ends here.
	if old, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.end(old.Value)
	}
	c.log.Info("console login", "name", p.Name, "role", p.Role.String(), "remote", r.RemoteAddr)
	http.SetCookie(w, sessionCookie(r, c.sessions.open(strings.TrimSpace(r.PostFormValue("token")), c.now())))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request, v visitor) {
	if v.session != "" {
		c.sessions.end(v.session)
	}
	http.SetCookie(w, noCookie(r))
	http.Redirect(w, r, Path+"login", http.StatusSeeOther)
}

// local returns to as a place in the console; whatever leads elsewhere is its first
// page.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, Path) || strings.Contains(to, `\`) || strings.HasPrefix(u.Path, Path+"login") {
		return Path
	}
	return u.RequestURI()
}
