package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"reveille/internal/admin"
	"reveille/internal/timeline"
)

// usersPerPage is how many users a page of the list has.
const usersPerPage = 50

// usersPage is the list of users.
type usersPage struct {
	Query UserQuery
	Found []User
	Next  string // URL of the next page, empty if this is the last
}

func (c *Console) users(r *http.Request, _ visitor) (page, error) {
	q := UserQuery{Part: strings.TrimSpace(r.URL.Query().Get("q")), After: r.URL.Query().Get("after"), Limit: usersPerPage}
	found, err := c.source.Users(r.Context(), q)
	if err != nil {
		return page{}, err
	}
	p := usersPage{Query: q, Found: found.Users}
	if found.Next != "" {
		p.Next = "users?" + url.Values{"q": {q.Part}, "after": {found.Next}}.Encode()
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
	Verdict *timeline.Verdict
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
	admin.Binding
	History chart
	Settled int // wakes that were counted
	Rate    string
}

// Tone says how the phone is.
func (d device) Tone() tone {
	switch {
	case d.State == admin.StateDormant:
		return tone{"dormant", "dormant"}
	case d.Awake:
		return tone{"good", "awake"}
	case d.Provider == "":
		return tone{"warn", "not reachable"}
	}
	return tone{"asleep", "asleep"}
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
	u := userPage{AOR: list.User, All: "calls?" + url.Values{"aor": {list.User}}.Encode()}
	calls, _ := c.source.Calls(CallFilter{AOR: list.User, Limit: userCalls})
	u.Calls = calls[:min(len(calls), userShown)]
	for _, b := range list.Bindings {
		d := device{Binding: b, History: historyChart(b.ID, calls)}
		if b.Wake != nil {
			d.Settled = b.Wake.Successes + b.Wake.Failures
			d.Rate = percent(b.Wake.Successes, d.Settled)
		}
		u.Devices = append(u.Devices, d)
	}
	for _, w := range c.source.Waiting() {
		if w.AOR == list.User {
			u.Waiting = append(u.Waiting, w)
		}
	}
	if c.source.Why != nil {
		v, err := c.source.Why(ctx, list.User)
		if err != nil {
			return page{}, err
		}
		u.Verdict, u.Tone = &v, verdictTone(v)
	}
	return page{Title: shortName(list.User), Section: "users", name: "user", Every: slow, Self: userURL(list.User), Body: u}, nil
}

// verdictTone is the colour of a verdict: if there is something to do, something is
// wrong.
func verdictTone(v timeline.Verdict) string {
	if v.Do == "" {
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
	for _, b := range list.Bindings {
		if b.ID == r.URL.Query().Get("binding") {
			return page{Title: "Drop a registration", Section: "users", name: "drop", Body: dropPage{list.User, device{Binding: b}}}, nil
		}
	}
	return page{redirect: userURL(list.User) + "&done=gone"}, nil
}
