package app

import (
	"context"
	"time"

	"reveille/internal/admin"
	"reveille/internal/wake"
	"reveille/usrloc"
)

// showBindings implements admin.Bindings.Show. A user may be named without the
// scheme, and by every name of the domain.
func (a *App) showBindings(ctx context.Context, user string) (admin.BindingList, error) {
	aor, err := a.namedAOR(user)
	if err != nil {
		return admin.BindingList{}, err
	}
	rec, err := a.store.Get(ctx, aor)
	if err != nil {
		return admin.BindingList{}, err
	}
	// An empty list, not null, for programs that read it.
	list := admin.BindingList{User: string(aor), Bindings: []admin.Binding{}}
	now := time.Now()
	for i := range rec.Bindings {
		list.Bindings = append(list.Bindings, a.showBinding(&rec.Bindings[i], now))
	}
	return list, nil
}

func (a *App) showBinding(b *usrloc.Binding, now time.Time) admin.Binding {
	one := admin.Binding{
		ID: b.ID.String(), State: admin.StateRegistered, Contact: wake.WithoutPush(b.Contact, b.Push.PRID), Flow: b.Flow.String(),
		Instance: b.Instance, UserAgent: b.UserAgent, Created: b.Created, Updated: b.Updated, Expires: b.Expires,
	}
	if !b.RefreshAt.Equal(b.Expires) {
		one.RefreshAt = b.RefreshAt
	}
	_, _, one.Awake = a.proxy.Way(b)
	if !b.Push.IsZero() {
		one.Provider = b.Push.Provider
	}
	if b.Expired(now) {
		one.State, one.Awake, one.RetainUntil = admin.StateDormant, false, b.RetainUntil
	}
	if h, known := a.waker.Habit(b.ID); known {
		one.Wake = &admin.Wake{
			Last: h.LastWake, Average: h.Average.Seconds(), Successes: h.Wakes, Failures: h.Failures, FailingSince: h.FailingSince,
		}
	}
	return one
}
