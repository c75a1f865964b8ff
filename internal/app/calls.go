package app

import (
	"context"
	"errors"
	"slices"
	"time"

	"reveille/internal/admin"
	"reveille/internal/timeline"
	"reveille/internal/wake"
	"reveille/internal/why"
	"reveille/push"
	"reveille/usrloc"
)

// buildTimeline makes what remembers what became of requests.
func (a *App) buildTimeline() {
	a.began = time.Now()
	c := a.config.Calls
	a.timeline = timeline.New(timeline.Options{Keep: c.Keep, MaxBytes: int64(c.MaxMB) << 20, Watch: a.watchLate, Registerer: a.registry})
}

// watchLate implements timeline.Options.Watch.
func (a *App) watchLate(aor string, until time.Time, registered func(timeline.Arrival)) (cancel func(), err error) {
	_, cancel, err = a.store.Watch(context.Background(), usrloc.AOR(aor), until, func(c usrloc.Change) {
		if c.New != nil && (c.Cause == usrloc.CauseRegister || c.Cause == usrloc.CauseOtherNode) {
			registered(timeline.Arrival{Binding: c.New.ID.String(), Instance: c.New.Instance, Flow: c.New.Flow.String()})
		}
	})
	return cancel, err
}

// timelineCalls are what operators ask about calls.
func (a *App) timelineCalls() *admin.Timeline {
	return &admin.Timeline{
		Calls: func(q timeline.Query) ([]timeline.Summary, bool, error) {
			if q.AOR != "" {
				aor, err := a.namedAOR(q.AOR)
				if err != nil {
					return nil, false, err
				}
				q.AOR = string(aor)
			}
			list, more := a.timeline.Calls(q)
			return list, more, nil
		},
		Call: a.timeline.Get, Parked: a.timeline.Parked, Why: a.why, Hour: a.timeline.Hour,
	}
}

// why implements admin.Timeline.Why.
func (a *App) why(ctx context.Context, user string, calls int) (why.Report, error) {
	aor, err := a.namedAOR(user)
	if err != nil {
		return why.Report{}, err
	}
	rec, err := a.store.Get(ctx, aor)
	if err != nil {
		return why.Report{}, err
	}
	unknown := len(rec.Bindings) == 0 && !a.gate.known(aor) //nolint:contextcheck // What is asked of the directory goes on without us.
	f := why.Facts{
		AOR: string(aor), Now: time.Now(), Started: a.began, Unknown: unknown,
		Calls: a.timeline.Last(string(aor), calls), Endings: a.timeline.Endings(string(aor)),
	}
	for i := range rec.Bindings {
		f.Phones = append(f.Phones, a.whyPhone(ctx, aor, &rec.Bindings[i], f.Now))
	}
	for _, h := range a.pushes.Health() {
		q, bad := why.QueueOf(h, f.Now)
		if bad && slices.ContainsFunc(f.Phones, func(p why.Phone) bool { return p.App == q.App }) {
			f.Queues = append(f.Queues, q)
		}
	}
	return why.Judge(&f), nil
}

// whyPhone is what is known of one phone.
func (a *App) whyPhone(ctx context.Context, aor usrloc.AOR, b *usrloc.Binding, now time.Time) why.Phone {
	p := why.Phone{
		Binding: b.ID.String(), State: why.Registered, Instance: b.Instance, UserAgent: b.UserAgent, Provider: b.Push.Provider,
		Updated: b.Updated.UTC(), Expires: b.Expires.UTC(),
	}
	if b.Expired(now) {
		p.State = why.Dormant
	} else {
		_, _, p.Awake = a.proxy.Way(b)
	}
	if p.Provider != "" {
		if params, err := push.ParseParams(b.Push.Provider, b.Push.Param); err == nil {
			p.App = a.pushes.App(params)
		}
		p.Lacks = a.waker.Lacks(b)
		p.Elsewhere = a.othersWith(ctx, aor, b)
	}
	if h, known := a.waker.Habit(b.ID); known {
		p.Wake = habitOf(h)
	}
	return p
}

// othersWith returns the other users who have the push token of b, as far as the store
// was made to know that.
func (a *App) othersWith(ctx context.Context, aor usrloc.AOR, b *usrloc.Binding) (others []string) {
	index, ok := a.store.(usrloc.TokenIndex)
	if !ok || b.Push.PRID == "" {
		return nil
	}
	aors, err := index.TokenHolders(ctx, b.Push)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			a.component("calls").WarnContext(ctx, "look up who has a push token", "aor", string(aor), "err", err)
		}
		return nil
	}
	for _, other := range aors {
		if other != aor {
			others = append(others, string(other))
		}
	}
	slices.Sort(others)
	return others
}

func habitOf(h wake.Habit) *why.Habit {
	return &why.Habit{
		Last: h.LastWake, UsualMS: float64(h.Average.Milliseconds()), Wakes: h.Wakes, Failures: h.Failures, InRow: h.InRow, FailingSince: h.FailingSince,
	}
}
