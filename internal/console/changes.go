package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"reveille/internal/admin"
	"reveille/internal/contacts"
)

// writeWait is how long an answer may take after what it waited for.
const writeWait = 10 * time.Second

// audited notes a change in the audit log, under the name that it has in the API.
func (c *Console) audited(r *http.Request, v visitor, operation, target string, err error) {
	if c.source.Audited == nil {
		return
	}
	done := admin.Change{
		Time: c.now(), Who: v.Name, Kind: v.Kind, Role: v.Role.String(), Remote: r.RemoteAddr, Operation: operation, Target: target, Status: http.StatusOK,
	}
	if err != nil {
		done.Status, done.Problem = http.StatusUnprocessableEntity, err.Error()
	}
	c.source.Audited(done)
}

// patient returns a context for what takes longer than the server's bounds for
// requests. It ends when the server stops.
func (c *Console) patient(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	rc := http.NewResponseController(w)
	// A connection that cannot be told has the bounds that it had.
	_ = errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Now().Add(admin.MaxWait+writeWait)))
	ctx, cancel := context.WithTimeout(r.Context(), admin.MaxWait)
	go func() {
		// Ends with the request.
		select {
		case <-c.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// wake wakes the phones of a user and shows how long they took.
func (c *Console) wake(w http.ResponseWriter, r *http.Request, v visitor) {
	ctx, cancel := c.patient(w, r)
	defer cancel()
	o := admin.WakeOrder{AOR: canonical(r.PostFormValue("aor")), Kind: "call"}
	err := o.Check()
	var woken []admin.WakeResult
	if err == nil {
		woken, err = c.source.Pushes.Wake(ctx, o)
	}
	c.audited(r, v, "wake", o.AOR, err)
	c.showDone(w, r, v, o.AOR, err, func(u *userPage) { u.Woken = woken })
}

// testPush sends a push to each phone of a user and shows what the push services said.
func (c *Console) testPush(w http.ResponseWriter, r *http.Request, v visitor) {
	ctx, cancel := c.patient(w, r)
	defer cancel()
	t := admin.PushTest{AOR: canonical(r.PostFormValue("aor")), Kind: r.PostFormValue("kind")}
	err := t.Check()
	var tested []admin.PushResult
	if err == nil {
		tested, err = c.source.Pushes.Test(ctx, t)
	}
	c.audited(r, v, "test-push", t.AOR, err)
	c.showDone(w, r, v, t.AOR, err, func(u *userPage) { u.Tested = tested })
}

// showDone shows the page of a user with what was done, or why not.
func (c *Console) showDone(w http.ResponseWriter, r *http.Request, v visitor, aor string, err error, add func(*userPage)) {
	p, pageErr := c.userPage(r.Context(), aor)
	if pageErr != nil {
		c.fail(w, r, v, pageErr)
		return
	}
	u := p.Body.(userPage)
	status := http.StatusOK
	if err != nil {
		status, u.Failed = http.StatusUnprocessableEntity, sentence(err.Error())
	} else {
		add(&u)
	}
	p.Body = u
	c.render(w, r, status, v, p)
}

// drop ends a registration.
func (c *Console) drop(w http.ResponseWriter, r *http.Request, v visitor) {
	aor, binding := canonical(r.PostFormValue("aor")), r.PostFormValue("binding")
	dropped, err := c.source.Drop(r.Context(), binding)
	c.audited(r, v, "remove-binding", dropped.AOR+" "+binding, err)
	switch {
	case errors.Is(err, contacts.ErrNotRegistered):
		http.Redirect(w, r, userURL(aor)+"&done=gone", http.StatusSeeOther)
	case err != nil:
		c.fail(w, r, v, err)
	default:
		http.Redirect(w, r, userURL(aor)+"&done=dropped", http.StatusSeeOther)
	}
}

// lift ends a ban.
func (c *Console) lift(w http.ResponseWriter, r *http.Request, v visitor) {
	source := r.PostFormValue("source")
	addr, err := admin.ParseSource(source)
	if err != nil {
		c.fail(w, r, v, &failure{http.StatusBadRequest, "No ban lifted", sentence(err.Error())})
		return
	}
	done := "gone"
	if c.source.Bans.Lift(addr) {
		done = "lifted"
	}
	c.audited(r, v, "lift-ban", source, nil)
	http.Redirect(w, r, Path+"bans?done="+done, http.StatusSeeOther)
}
