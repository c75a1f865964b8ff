package console

import (
	"bytes"
	"html/template"
	"net/http"

	"reveille/internal/admin"
)

// A page is what a template gets.
type page struct {
	Title string
	// Section is the place in the menu.
	Section string
	// Every is how many seconds pass until a page that is open is brought up to date, 0
	// for never; Self is its URL if that which the browser shows is another.
	Every int
	Self  string
	// Notice says what was just done.
	Notice string
	Body   any

	// The rest is set by render.
	Visitor             visitor
	Form                string // the form token
	Theme               string // "dark", "light", or empty: as the machine has it
	Here                string // where the theme's form leads back to
	Now                 moment
	Still               bool
	State               State
	Menu                []section
	Script, Style, Icon string
	name, redirect      string
}

// Operates reports whether the visitor may change something.
func (p page) Operates() bool { return p.Visitor.may(admin.Operate) }

// A section is a group of the menu.
type section struct {
	Name  string
	Links []link
}

// A link is a line of the menu. Key goes there after g.
type link struct {
	Name, Section, To, Key string
	// Count is shown behind it if it is not 0.
	Count int
}

// menu is what the visitor may see.
func (c *Console) menu(v visitor) []section {
	_, waiting := c.source.Timeline.Parked(1)
	now := section{"", []link{
		{Name: "Overview", Section: "overview", To: Path, Key: "o"},
		{Name: "Waiting now", Section: "waiting", To: Path + "waiting", Key: "w", Count: waiting},
		{Name: "Calls", Section: "calls", To: Path + "calls", Key: "c"},
		{Name: "Users", Section: "users", To: Path + "users", Key: "u"},
		{Name: "Push services", Section: "services", To: Path + "services", Key: "p"},
	}}
	if c.source.Messages != nil {
		now.Links = append(now.Links, link{Name: "Messages", Section: "messages", To: Path + "messages", Key: "m"})
	}
	server := section{"Server", nil}
	if c.source.Events != nil {
		server.Links = append(server.Links, link{Name: "Events", Section: "events", To: Path + "events", Key: "e"})
	}
	server.Links = append(server.Links, link{Name: "Bans", Section: "bans", To: Path + "bans", Key: "b"})
	if c.source.Audit != nil {
		server.Links = append(server.Links, link{Name: "Audit", Section: "audit", To: Path + "audit", Key: "a"})
	}
	if v.may(admin.Admin) {
		server.Links = append(server.Links, link{Name: "Configuration", Section: "configuration", To: Path + "configuration", Key: "k"})
	}
	return []section{now, server}
}

// pages are the parsed templates, by the name of their file.
type pages struct {
	byName map[string]*template.Template
	assets *assets
}

func parsePages() (pages, error) {
	p := pages{byName: map[string]*template.Template{}}
	base, err := template.New("").Funcs(functions()).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return p, err
	}
	for _, name := range []string{
		"audit", "bans", "call", "calls", "configuration", "drop", "events", "failure", "loggedin", "login", "messages", "overview", "services", "user", "users", "waiting",
	} {
		t, err := base.Clone()
		if err != nil {
			return p, err
		}
		if p.byName[name], err = t.ParseFS(files, "templates/"+name+".html"); err != nil {
			return p, err
		}
	}
	return p, nil
}

// render answers with a page.
func (c *Console) render(w http.ResponseWriter, r *http.Request, status int, v visitor, p page) {
	now := c.now()
	p.Visitor, p.Now, p.Still, p.State = v, moment{now}, c.still, c.source.State()
	p.Form, p.Theme = c.sessions.formToken(v.key), themeOf(r)
	p.Here = r.URL.RequestURI()
	if r.Method != http.MethodGet {
		p.Here = Path
		if p.Self != "" {
			p.Here = p.Self
		}
	}
	p.Script, p.Style, p.Icon = c.pages.assets.urls["console.js"], c.pages.assets.urls["console.css"], c.pages.assets.urls["icon.svg"]
	layout := "layout"
	if v.Role < admin.Read {
		layout = "alone"
	} else {
		p.Menu = c.menu(v)
	}
	// It is made whole before anything is sent: half a page would look like a page.
	var b bytes.Buffer
	if err := c.pages.byName[p.name].ExecuteTemplate(&b, layout, p); err != nil {
		c.log.Error("make console page", "page", p.name, "err", err)
		http.Error(w, "The page cannot be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// The peer may be gone; there is nobody left to tell.
	_, _ = w.Write(b.Bytes())
}

// themeCookie holds the colours that somebody wants.
const themeCookie = "reveille-theme"

// themeOf returns "dark", "light" or, for as the machine has it, "".
func themeOf(r *http.Request) string {
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "dark" || c.Value == "light") {
		return c.Value
	}
	return ""
}

// theme keeps the colours that somebody chose. It concerns nobody else, and needs no
// session.
func (c *Console) theme(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	const year = 365 * 24 * 3600
	cookie := &http.Cookie{
		Name: themeCookie, Path: Path, MaxAge: year, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
	switch chosen := r.PostFormValue("theme"); chosen {
	case "dark", "light":
		cookie.Value = chosen
	default:
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
	to := r.PostFormValue("here")
	if to == Path+"login" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, local(to), http.StatusSeeOther)
}
