package console

import (
	"net/http"
	"strings"

	"reveille/internal/event"
)

// bans lists who is not listened to.
func (c *Console) bans(r *http.Request, _ visitor) (page, error) {
	p := page{Title: "Bans", Section: "bans", name: "bans", Every: slow, Self: Path + "bans", Body: c.source.Bans.List()}
	switch r.URL.Query().Get("done") {
	case "lifted":
		p.Notice = "The ban is lifted."
	case "gone":
		p.Notice = "There was no such ban any more."
	}
	return p, nil
}

// messages lists for whom messages wait.
func (c *Console) messages(*http.Request, visitor) (page, error) {
	return page{Title: "Messages", Section: "messages", name: "messages", Every: slow, Body: c.source.Messages.List()}, nil
}

// configuration shows what is in force.
func (c *Console) configuration(*http.Request, visitor) (page, error) {
	text, err := c.source.Configuration()
	return page{Title: "Configuration", Section: "configuration", name: "configuration", Body: text}, err
}

// auditLength is how many changes are listed.
const auditLength = 200

func (c *Console) audit(*http.Request, visitor) (page, error) {
	return page{Title: "Audit", Section: "audit", name: "audit", Every: slow, Body: c.source.Audit(auditLength)}, nil
}

// eventsLength is how many events are listed.
const eventsLength = 200

// eventsPage is the log of events.
type eventsPage struct {
	AOR    string
	Groups []choice
	Found  []Event
}

// eventGroups are the first halves of types.
func eventGroups() []string {
	var groups []string
	for _, t := range event.Types() {
		if g, _, _ := strings.Cut(t.Name, "."); len(groups) == 0 || groups[len(groups)-1] != g {
			groups = append(groups, g)
		}
	}
	return groups
}

func (c *Console) events(r *http.Request, _ visitor) (page, error) {
	q := r.URL.Query()
	group := q.Get("type")
	p := eventsPage{AOR: canonical(q.Get("aor")), Groups: []choice{{"", "all", group == ""}}}
	var patterns []string
	for _, g := range eventGroups() {
		p.Groups = append(p.Groups, choice{g, g, g == group})
		if g == group {
			patterns = []string{g + ".*"}
		}
	}
	f, err := event.NewFilter(patterns, p.AOR)
	if err != nil {
		return page{}, err
	}
	p.Found = c.source.Events(f, eventsLength)
	return page{Title: "Events", Section: "events", name: "events", Every: fast, Body: p}, nil
}
