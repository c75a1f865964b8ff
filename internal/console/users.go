package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"reveille/internal/admin"
	"reveille/internal/contacts"
	"reveille/internal/timeline"
	"reveille/internal/why"
)

// usersPerPage is how many users a page of the list has.
const usersPerPage = 50

// usersPage is the list of users.
type usersPage struct {
	Part  string
	Found []contacts.UserSummary
	Next  string // URL of the next page, empty if this is the last
}

func (c *Console) users(r *http.Request, _ visitor) (page, error) {
	part := strings.TrimSpace(r.URL.Query().Get("q"))
	found, err := c.source.Users(r.Context(), part, contacts.Page{After: r.URL.Query().Get("after"), Limit: usersPerPage})
	if err != nil {
		return page{}, err
	}
	// The store has no order; on a page there is one.
	slices.SortFunc(found.Users, func(a, b contacts.UserSummary) int { return strings.Compare(a.AOR, b.AOR) })
	p := usersPage{Part: part, Found: found.Users}
	if found.Next != "" {
		p.Next = "users?" + url.Values{"q": {part}, "after": {found.Next}}.Encode()
	}
	return page{Title: "Users", Section: "users", name: "users", Body: p}, nil
}

// userCalls is how many requests for a user are looked at, and userShown how many of
// them are listed.
const (
	userCalls = 200
	userShown = 10
)

// userPage is a user with the phones.
type userPage struct {
	AOR     string
	Verdict timeline.Verdict
	Tone    string
	Devices []device
	Calls   []timeline.Summary
	All     string // URL of all calls
	Waiting []timeline.Waiting
	Woken   []admin.WakeResult
	Tested  []admin.PushResult
	// Failed is why nothing could be done that was asked for.
	Failed string
}

// A device is a phone with how it woke.
type device struct {
	contacts.Contact
	History chart
	Settled int // wakes that were counted
	Rate    string
}

// Tone says how the phone is.
func (d device) Tone() tone {
	switch d.State {
	case contacts.Dormant:
		return tone{"dormant", "dormant"}
	case contacts.Awake:
		return tone{"good", "awake"}
	case contacts.Asleep:
		return tone{"asleep", "asleep"}
	}
	return tone{"bad", "not reachable"}
}

// Wakeable reports whether a push can be sent.
func (d device) Wakeable() bool { return d.Provider != "" }

func (c *Console) user(r *http.Request, _ visitor) (page, error) {
	aor := canonical(r.URL.Query().Get("aor"))
	p, err := c.userPage(r.Context(), aor)
	switch r.URL.Query().Get("done") {
	case "dropped":
		p.Notice = "The registration is gone. The phone is not called until it registers again."
	case "gone":
		p.Notice = "The registration was gone already."
	}
	return p, err
}

func (c *Console) userPage(ctx context.Context, aor string) (page, error) {
	list, err := c.source.User(ctx, aor)
	if err != nil {
		return page{}, err
	}
	u := userPage{AOR: list.AOR, All: "calls?" + url.Values{"aor": {list.AOR}}.Encode()}
	calls, _, err := c.source.Timeline.Calls(timeline.Query{AOR: list.AOR, Limit: userCalls})
	if err != nil {
		return page{}, err
	}
	u.Calls = calls[:min(len(calls), userShown)]
	for _, b := range list.Contacts {
		d := device{Contact: b, History: historyChart(b.ID, calls)}
		if b.Wake != nil {
			d.Settled = b.Wake.Successes + b.Wake.Failures
			d.Rate = percent(b.Wake.Successes, d.Settled)
		}
		u.Devices = append(u.Devices, d)
	}
	waiting, _ := c.source.Timeline.Parked(timeline.MaxLimit)
	for _, w := range waiting {
		if w.AOR == list.AOR {
			u.Waiting = append(u.Waiting, w)
		}
	}
	report, err := c.source.Timeline.Why(ctx, list.AOR, userShown)
	if err != nil {
		return page{}, err
	}
	u.Verdict, u.Tone = report.Verdict, verdictTone(report.Verdict)
	return page{Title: shortName(list.AOR), Section: "users", name: "user", Every: slow, Self: userURL(list.AOR), Body: u}, nil
}

// verdictTone is the colour of a verdict.
func verdictTone(v timeline.Verdict) string {
	if v.Code == why.CodeFine {
		return "good"
	}
	return "warn"
}

// dropPage asks whether a registration is to end.
type dropPage struct {
	AOR    string
	Device device
}

func (c *Console) askDrop(r *http.Request, _ visitor) (page, error) {
	list, err := c.source.User(r.Context(), canonical(r.URL.Query().Get("aor")))
	if err != nil {
		return page{}, err
	}
	for _, b := range list.Contacts {
		if b.ID == r.URL.Query().Get("binding") {
			return page{Title: "Drop a registration", Section: "users", name: "drop", Body: dropPage{list.AOR, device{Contact: b}}}, nil
		}
	}
	return page{redirect: userURL(list.AOR) + "&done=gone"}, nil
}
