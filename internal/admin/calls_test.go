package admin

import (
	"context"
	"time"

	"reveille/internal/contacts"
	"reveille/internal/timeline"
	"reveille/internal/why"
)

// someTimeline has one call with everything that a Record may have.
func someTimeline() *Timeline {
	device := timeline.Device{
		Binding: "aa", AOR: "sip:alice@example.com", Instance: "urn:uuid:1", Provider: "fcm", PushID: "P", SentAs: "Q", Parked: at(), Asked: at(),
		Deadline: at(), Taken: at(), Class: "ok", Status: 200, Reason: "r", Proven: true, Attempts: 2, Woke: at(), WokeMS: 3100, Late: true, TimedOut: true,
		UsualMS: 3000, SpreadMS: 100, Sent: at(), Ringing: at(), Answer: 486, End: "x", Flow: "udp", Elsewhere: "sip:bob@example.com",
	}
	r := timeline.Record{
		Summary: timeline.Summary{
			ID: "a1", CallID: "c", Method: "INVITE", From: "sip:bob@example.com", To: "sip:alice@example.com", AOR: "sip:alice@example.com", Lookup: "push_only",
			Phones: 1, Asleep: true, Began: at(), Ended: at(), State: timeline.StateEnded, Outcome: timeline.OutcomeFailed, Status: 486, Reason: "Busy Here",
			Phone: true, Devices: []timeline.Device{device}, Verdict: &timeline.Verdict{Code: timeline.CodeBusy, Said: "s", Do: "d"},
		},
		Steps: []timeline.Step{{
			At: at(), OffsetMS: 1, Kind: timeline.StepAttempt, Binding: "aa", PushID: "P", Provider: "fcm", Attempt: 1, Status: 200, Class: "ok", Reason: "r",
			Flow: "udp", TookMS: 80, Text: "t",
		}},
		Dropped: 1,
	}
	minute := timeline.Minute{At: at(), Asked: 2, Woke: 1, Late: 1, Failed: map[string]int{"gone": 1}, P50MS: 1, P95MS: 2, P99MS: 3, MaxMS: 4}
	return &Timeline{
		Calls: func(q timeline.Query) ([]timeline.Summary, bool, error) {
			if q.AOR == "nobody" {
				return nil, false, contacts.ErrNoUser
			}
			return []timeline.Summary{r.Summary}, q.Limit == 1, nil
		},
		Call: func(id string) (timeline.Record, bool) { return r, id == "a1" },
		Parked: func(int) ([]timeline.Waiting, int) {
			return []timeline.Waiting{{ID: "a1", CallID: "c", Method: "INVITE", Binding: "aa", Since: at(), Deadline: at().Add(time.Second), Class: "ok"}}, 1
		},
		Why: func(_ context.Context, aor string, _ int) (why.Report, error) {
			if aor == "nobody" {
				return why.Report{}, contacts.ErrNoUser
			}
			return why.Judge(&why.Facts{
				AOR: aor, Now: at(), Started: at(), Calls: []timeline.Record{r},
				Phones:  []why.Phone{{Binding: "aa", State: why.Registered, Provider: "fcm", Updated: at(), Expires: at(), Lacks: "NoToken", Elsewhere: []string{"x"}, Wake: &why.Habit{Last: at(), InRow: 1}}},
				Endings: []timeline.Ending{{At: at(), Action: "expired", Cause: "expiry", Binding: "bb"}},
				Queues:  []why.Queue{{App: "a", Provider: "fcm", Class: "credential", LastOK: at(), LastFailure: at()}},
			}), nil
		},
		Hour: func() timeline.Hour { return timeline.Hour{Minutes: []timeline.Minute{minute}, Total: minute} },
	}
}
