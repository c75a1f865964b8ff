package consoletest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/contacts"
	"reveille/internal/timeline"
)

// IDs of what tests look for.
const (
	Alice      = "sip:alice@example.com"
	AliceID    = "1f3a5c0d9be84772a1c0ffee12345678"
	AliceTab   = "1f3ab1d0977e4c0fb0d1a2b3c4d5e6f7"
	Bob        = "sip:bob@example.com"
	BobID      = "8c21e0aa51f74bb09d7700aa55cc1122"
	AnsweredID = "019abc5e-7d10-7c41-9f00-000000000041"
	FailedID   = "019abc5e-6a02-7c41-9f00-000000000033"
	LateID     = "019abc5e-5511-7c41-9f00-000000000027"
	ParkedID   = "019abc5e-7fff-7c41-9f00-000000000052"
)

// register puts the phones there.
func (s *Server) register(t time.Time) {
	ago := func(d time.Duration) time.Time { return t.Add(-d) }
	s.bindings[Alice] = []contacts.Contact{
		{
			ID: AliceID, State: contacts.Asleep, Contact: "sip:alice@192.0.2.7:40000;transport=tls;ob", Flow: "tls 192.0.2.7:40000", Instance: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
			CallID: "Kx7pQ2~aH1", CSeq: 412, Methods: []string{"INVITE", "ACK", "CANCEL", "OPTIONS", "BYE", "REFER", "NOTIFY", "MESSAGE"}, CFlags: []string{"nat", "push"}, AORHash: 51803, Node: 1,
			UserAgent: "LinphoneiOS/5.3.1 (iPhone15,2) LinphoneSDK/5.4.20", Provider: "apns", Created: ago(41 * 24 * time.Hour), Modified: ago(83 * time.Minute),
			Expires: t.Add(29 * 24 * time.Hour), RefreshAt: t.Add(28*24*time.Hour + 20*time.Hour),
			Wake: &contacts.WakeHabit{Last: ago(83 * time.Minute), Average: 2.31, Successes: 214, Failures: 3},
		},
		{
			ID: AliceTab, State: contacts.Awake, Contact: "sip:alice@198.51.100.23:51812;transport=ws", Flow: "wss 198.51.100.23:51812",
			UserAgent: "JsSIP 3.13.8", Provider: "webpush", Created: ago(6 * time.Hour), Modified: ago(4 * time.Minute), Expires: t.Add(56 * time.Minute),
			Wake: &contacts.WakeHabit{Last: ago(2 * time.Hour), Average: 6.8, Successes: 5, Failures: 1},
		},
	}
	s.bindings[Bob] = []contacts.Contact{{
		ID: BobID, State: contacts.Asleep, Contact: "sip:bob@203.0.113.80:5061;transport=tcp", Flow: "tcp 203.0.113.80:41877", Instance: "urn:uuid:0c1d2e3f-4455-6677-8899-aabbccddeeff",
		UserAgent: "Example Phone 2.4 (Pixel 9)", Provider: "fcm", Created: ago(12 * 24 * time.Hour), Modified: ago(31 * time.Hour), Expires: t.Add(28 * 24 * time.Hour),
		Wake: &contacts.WakeHabit{Last: ago(31 * time.Hour), Average: 4.9, Successes: 61, Failures: 9, FailingSince: ago(95 * time.Minute)},
	}}
	for i, name := range []string{
		"carol", "chuck", "dan", "dave", "erin", "eve", "faythe", "frank", "grace", "heidi", "ivan", "judy", "mallory", "mike", "niaj", "olivia", "oscar", "peggy", "rupert", "sybil", "trent", "victor", "walter", "wendy",
	} {
		b := contacts.Contact{
			ID: fmt.Sprintf("5a%030x", i+1), State: contacts.Asleep, Contact: fmt.Sprintf("sip:%s@198.51.100.%d:5060;transport=tcp", name, 30+i), Flow: fmt.Sprintf("tcp 198.51.100.%d:%d", 30+i, 40000+i*37),
			UserAgent: "Example Phone 2.4", Provider: "fcm", Created: ago(time.Duration(i+2) * 31 * time.Hour), Modified: ago(time.Duration(i+1) * 13 * time.Minute), Expires: t.Add(time.Duration(20+i) * 24 * time.Hour),
		}
		switch {
		case i%7 == 3:
			b.State, b.Expires, b.Retained = contacts.Dormant, ago(30*time.Hour), t.Add(12*24*time.Hour)
		case i%5 == 0:
			b.State = contacts.Awake
		case i == 9:
			b.Provider, b.UserAgent, b.State = "", "Yealink SIP-T46U 108.86.0.90", contacts.Awake
		}
		s.bindings["sip:"+name+"@example.com"] = []contacts.Contact{b}
	}
}

// hour is an hour in which one push service was away for a while.
func (s *Server) hour() timeline.Hour {
	t := s.now().Truncate(time.Minute)
	var h timeline.Hour
	for i := range 60 {
		m := timeline.Minute{At: t.Add(time.Duration(i-59) * time.Minute)}
		if !s.empty {
			// It looks like chance and is the same each time.
			wave := math.Sin(float64(i)/9)*6 + math.Sin(float64(i)*2.3)*4 + math.Cos(float64(i)*.7)*3
			m.Woke = 22 + int(wave)
			m.P50MS, m.P95MS = 2100+math.Sin(float64(i)/5)*260+math.Sin(float64(i)*3.1)*150, 4700+math.Sin(float64(i)*1.7)*900+math.Cos(float64(i)/4)*500
			if i%13 == 4 {
				m.Late = 1
			}
			if i%17 == 9 {
				m.Failed = map[string]int{"timed_out": 1}
			}
			if i >= 34 && i <= 38 {
				n := []int{4, 11, 13, 9, 3}[i-34]
				m.Woke -= n
				m.Failed = map[string]int{"unavailable": n - 1, "timed_out": 1}
				m.P95MS += float64(n) * 240
			}
			m.Asked, m.MaxMS = m.Woke+m.Late+total(m.Failed), m.P95MS*1.3
		}
		h.Minutes = append(h.Minutes, m)
		h.Total.Woke, h.Total.Late, h.Total.Asked = h.Total.Woke+m.Woke, h.Total.Late+m.Late, h.Total.Asked+m.Asked
		for why, n := range m.Failed {
			if h.Total.Failed == nil {
				h.Total.Failed = map[string]int{}
			}
			h.Total.Failed[why] += n
		}
	}
	if !s.empty {
		h.Total.P50MS, h.Total.P95MS = 2140, 5320
	}
	h.Total.At = h.Minutes[0].At
	return h
}

func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// A story tells a record.
type story struct {
	timeline.Record
}

func tell(id, method, from, aor string, began time.Time) *story {
	r := timeline.Record{Summary: timeline.Summary{
		ID: id, CallID: "c" + id[24:] + "@198.51.100.9", Method: method, From: from, To: aor, AOR: aor, Lookup: "push_only", Phones: 1, Asleep: true, Began: began, State: timeline.StateWaiting,
	}}
	return &story{r}
}

func (y *story) step(after time.Duration, s timeline.Step) *story {
	s.At = y.Began.Add(after)
	s.OffsetMS = float64(after.Microseconds()) / 1000
	y.Steps = append(y.Steps, s)
	return y
}

func (y *story) end(after time.Duration, outcome string, status int, reason string, v timeline.Verdict) timeline.Record {
	y.State, y.Outcome, y.Status, y.Reason, y.Verdict = timeline.StateEnded, outcome, status, reason, &v
	y.Ended = y.Began.Add(after)
	return y.Record
}

const (
	second = time.Second
	milli  = time.Millisecond
)

// answered is a call that went as it should.
func answered(id, method, from, aor, binding, provider string, began time.Time, wake time.Duration) timeline.Record {
	y := tell(id, method, from, aor, began)
	y.Devices = []timeline.Device{{
		Binding: binding, Provider: provider, Class: "ok", Status: 200, Attempts: 1, Parked: began.Add(1 * milli), Asked: began.Add(2 * milli), Deadline: began.Add(25 * second),
		Taken: began.Add(121 * milli), Woke: began.Add(wake), WokeMS: float64(wake.Milliseconds()), UsualMS: 2310, Sent: began.Add(wake + 2*milli), Ringing: began.Add(wake + 410*milli), Answer: 200,
	}}
	y.step(0, timeline.Step{Kind: timeline.StepReceived, Flow: "udp 198.51.100.9:5060", Text: "The call arrived."}).
		step(1*milli, timeline.Step{Kind: timeline.StepParked, Binding: binding, Text: "It waits for the phone, which sleeps."}).
		step(2*milli, timeline.Step{Kind: timeline.StepPush, Binding: binding, Provider: provider, PushID: "PSH7QK2M", Text: "A push was asked for."}).
		step(121*milli, timeline.Step{Kind: timeline.StepAttempt, Binding: binding, Provider: provider, PushID: "PSH7QK2M", Attempt: 1, Status: 200, Class: "ok", TookMS: 118, Text: "The push service answered 200."}).
		step(121*milli, timeline.Step{Kind: timeline.StepPushOutcome, Binding: binding, Provider: provider, PushID: "PSH7QK2M", Status: 200, Class: "ok", Text: "The push service took the push."}).
		step(wake, timeline.Step{Kind: timeline.StepRegister, Binding: binding, Flow: "tls 192.0.2.7:40000", TookMS: float64(wake.Milliseconds()), Text: "The phone registered on a new connection."}).
		step(wake, timeline.Step{Kind: timeline.StepWoken, Binding: binding, TookMS: float64(wake.Milliseconds()), Text: "The phone is back."}).
		step(wake+2*milli, timeline.Step{Kind: timeline.StepReleased, Binding: binding, Flow: "tls 192.0.2.7:40000", Text: "The call was sent to the phone."}).
		step(wake+410*milli, timeline.Step{Kind: timeline.StepRinging, Binding: binding, Status: 180, Text: "The phone rings."}).
		step(wake+7*second, timeline.Step{Kind: timeline.StepAnswered, Binding: binding, Status: 200, Text: "Somebody took the call."})
	return y.end(wake+7*second, timeline.OutcomeAnswered, 200, "OK", timeline.Verdict{
		Code: "answered", Said: fmt.Sprintf("The phone woke within %.1f s and the call was answered.", wake.Seconds()),
	})
}

// refused is a call whose push service had no more use for the token.
func refused(id string, began time.Time) timeline.Record {
	y := tell(id, "INVITE", "sip:+4930123456@trunk.example.net", Bob, began)
	y.Devices = []timeline.Device{{
		Binding: BobID, Provider: "fcm", Class: "gone", Status: 404, Reason: "UNREGISTERED", Attempts: 1, Proven: true, Parked: began.Add(1 * milli), Asked: began.Add(1 * milli), Deadline: began.Add(25 * second), UsualMS: 4900,
	}}
	y.step(0, timeline.Step{Kind: timeline.StepReceived, Flow: "udp 198.51.100.9:5060", Text: "The call arrived."}).
		step(1*milli, timeline.Step{Kind: timeline.StepParked, Binding: BobID, Text: "It waits for the phone, which sleeps."}).
		step(1*milli, timeline.Step{Kind: timeline.StepPush, Binding: BobID, Provider: "fcm", PushID: "PSHX41ZT", Text: "A push was asked for."}).
		step(164*milli, timeline.Step{Kind: timeline.StepAttempt, Binding: BobID, Provider: "fcm", PushID: "PSHX41ZT", Attempt: 1, Status: 404, Class: "gone", Reason: "UNREGISTERED", TookMS: 161, Text: "The push service answered 404 UNREGISTERED."}).
		step(164*milli, timeline.Step{Kind: timeline.StepPushOutcome, Binding: BobID, Provider: "fcm", PushID: "PSHX41ZT", Status: 404, Class: "gone", Reason: "UNREGISTERED", Text: "The token is dead: no push reaches the phone any more."}).
		step(165*milli, timeline.Step{Kind: timeline.StepFailed, Status: 480, Reason: "Temporarily Unavailable", Text: "The caller was told 480 Temporarily Unavailable."})
	return y.end(165*milli, timeline.OutcomeFailed, 480, "Temporarily Unavailable", timeline.Verdict{
		Code: "token_gone", Said: "FCM says that the phone's token is dead: the app was removed or installed anew.", Do: "Have the user open the app; it registers with its new token by itself.",
	})
}

// tooLate is a call for which the phone came when the caller had given up.
func tooLate(id string, began time.Time) timeline.Record {
	y := tell(id, "INVITE", "sip:carol@example.com", Alice, began)
	y.Devices = []timeline.Device{{
		Binding: AliceID, Provider: "apns", Class: "ok", Status: 200, Attempts: 1, Parked: began.Add(1 * milli), Asked: began.Add(2 * milli), Deadline: began.Add(25 * second), Taken: began.Add(96 * milli),
		Woke: began.Add(9400 * milli), WokeMS: 9400, Late: true, UsualMS: 2310,
	}}
	y.step(0, timeline.Step{Kind: timeline.StepReceived, Flow: "wss 203.0.113.5:52110", Text: "The call arrived."}).
		step(1*milli, timeline.Step{Kind: timeline.StepParked, Binding: AliceID, Text: "It waits for the phone, which sleeps."}).
		step(2*milli, timeline.Step{Kind: timeline.StepPush, Binding: AliceID, Provider: "apns", PushID: "PSH9J3LB", Text: "A push was asked for."}).
		step(96*milli, timeline.Step{Kind: timeline.StepAttempt, Binding: AliceID, Provider: "apns", PushID: "PSH9J3LB", Attempt: 1, Status: 200, Class: "ok", TookMS: 93, Text: "The push service answered 200."}).
		step(96*milli, timeline.Step{Kind: timeline.StepPushOutcome, Binding: AliceID, Provider: "apns", PushID: "PSH9J3LB", Status: 200, Class: "ok", Text: "The push service took the push."}).
		step(6000*milli, timeline.Step{Kind: timeline.StepCancelled, Status: 487, Text: "The caller gave up."}).
		step(9400*milli, timeline.Step{Kind: timeline.StepLate, Binding: AliceID, TookMS: 9398, Flow: "tls 192.0.2.7:40112", Text: "The phone registered when nobody waited any more."})
	return y.end(6000*milli, timeline.OutcomeCancelled, 487, "Request Terminated", timeline.Verdict{
		Code: "woke_late", Said: "The phone woke after the caller gave up: 9.4 s against 6 s.", Do: "It usually takes 2.3 s. If it is often late, look for battery saving on the phone or a slow network.",
	})
}

// parked is a call that waits now.
func parked(id, method, from, aor, binding, provider, class string, began, deadline time.Time) timeline.Record {
	y := tell(id, method, from, aor, began)
	y.Devices = []timeline.Device{{Binding: binding, Provider: provider, Class: class, Parked: began, Asked: began, Deadline: deadline}}
	y.step(0, timeline.Step{Kind: timeline.StepReceived, Flow: "udp 198.51.100.9:5060", Text: "The call arrived."}).
		step(1*milli, timeline.Step{Kind: timeline.StepParked, Binding: binding, Text: "It waits for the phone, which sleeps."}).
		step(2*milli, timeline.Step{Kind: timeline.StepPush, Binding: binding, Provider: provider, PushID: "PSH1WAIT", Text: "A push was asked for."})
	if class != "" {
		y.step(130*milli, timeline.Step{Kind: timeline.StepPushOutcome, Binding: binding, Provider: provider, PushID: "PSH1WAIT", Status: 200, Class: class, Text: "The push service took the push."})
	}
	return y.Record
}

// call tells what happened until t, and who waits.
func (s *Server) call(t time.Time) {
	ago := func(d time.Duration) time.Time { return t.Add(-d) }
	add := func(r timeline.Record) { s.records = append(s.records, r) }
	wait := func(r timeline.Record) {
		d := r.Devices[0]
		s.waiting = append(s.waiting, timeline.Waiting{
			ID: r.ID, CallID: r.CallID, Method: r.Method, From: r.From, AOR: r.AOR, Binding: d.Binding, Provider: d.Provider, Since: r.Began, Deadline: d.Deadline, Class: d.Class,
		})
		add(r)
	}
	wait(parked(ParkedID, "INVITE", "sip:+4930555010@trunk.example.net", "sip:judy@example.com", "5a00000000000000000000000000000c", "fcm", "ok", ago(4*second), t.Add(21*second)))
	wait(parked("019abc5e-7ffe-7c41-9f00-000000000051", "INVITE", "sip:dave@example.com", "sip:oscar@example.com", "5a000000000000000000000000000011", "fcm", "", ago(1*second), t.Add(24*second)))
	wait(parked("019abc5e-7ffd-7c41-9f00-000000000050", "MESSAGE", "sip:erin@example.com", "sip:grace@example.com", "5a000000000000000000000000000009", "fcm", "ok", ago(9*second), t.Add(6*second)))
	add(answered(AnsweredID, "INVITE", "sip:carol@example.com", Alice, AliceID, "apns", ago(83*time.Minute), 2410*milli))
	add(refused(FailedID, ago(95*time.Minute)))
	add(tooLate(LateID, ago(3*time.Hour)))
	for i := range 48 {
		id := fmt.Sprintf("019abc5e-4%03x-7c41-9f00-0000000001%02d", 100-i, 99-i)
		began := ago(3*time.Hour + time.Duration(i*i+i*7)*time.Minute)
		switch {
		case i%11 == 5:
			r := refused(id, began)
			r.Verdict.Code, r.Verdict.Said, r.Verdict.Do = "timed_out", "FCM took the push and the phone did not come within 25 s.", "The phone was off or without network, or its system does not let the app start."
			add(r)
		case i%3 == 0:
			add(answered(id, "INVITE", "sip:dave@example.com", "sip:heidi@example.com", "5a00000000000000000000000000000a", "fcm", began, time.Duration(1900+i*97)*milli))
		default:
			add(answered(id, "INVITE", "sip:+4930123456@trunk.example.net", Alice, AliceID, "apns", began, time.Duration(1700+(i*731)%2300)*milli))
		}
	}
	slices.SortStableFunc(s.records, func(a, b timeline.Record) int { return b.Began.Compare(a.Began) })
}

// rest is all that no phone is concerned with.
func (s *Server) rest(t time.Time) {
	s.banned = []admin.Ban{
		{Source: "203.0.113.66", Reason: "credentials", Until: t.Add(41 * time.Minute)},
		{Source: "198.51.100.200", Reason: "scanner", DatagramsOnly: true, Until: t.Add(9 * time.Minute)},
		{Source: "2001:db8:bad::/64", Reason: "credentials", Until: t.Add(3 * time.Hour)},
	}
	s.changes = []admin.Change{
		{Time: t.Add(-12 * time.Minute), Who: "night-shift", Role: "operate", Remote: "10.1.4.20:50112", Operation: "wake", Target: Bob, Status: 404, Problem: "no phone that a push wakes is registered"},
		{Time: t.Add(-50 * time.Minute), Who: "erin", Role: "admin", Remote: "10.1.4.7:41220", Operation: "reload", Status: 200},
		{Time: t.Add(-26 * time.Hour), Who: "night-shift", Role: "operate", Remote: "10.1.4.20:50007", Operation: "lift-ban", Target: "203.0.113.41", Status: 204},
	}
	add := func(after time.Duration, kind, aor string, fields ...string) {
		e := console.Event{ID: fmt.Sprintf("019abc60-%04d", len(s.events)), Type: kind, At: t.Add(-after), AOR: aor}
		for i := 0; i+1 < len(fields); i += 2 {
			e.Fields = append(e.Fields, console.Field{Name: fields[i], Value: fields[i+1]})
		}
		s.events = append(s.events, e)
	}
	add(1*second, "push.requested", "sip:oscar@example.com", "provider", "fcm", "kind", "call", "method", "INVITE", "push_id", "PSH1WAIT")
	add(1*second, "request.parked", "sip:oscar@example.com", "method", "INVITE", "from", "sip:dave@example.com", "call_id", "c000000000051@198.51.100.9")
	add(4*second, "push.outcome", "sip:judy@example.com", "provider", "fcm", "class", "ok", "status", "200", "latency_ms", "117.4")
	add(4*second, "request.parked", "sip:judy@example.com", "method", "INVITE", "from", "sip:+4930555010@trunk.example.net")
	add(21*second, "binding.updated", "sip:trent@example.com", "cause", "register", "user_agent", "Example Phone 2.4", "flow", "tcp 198.51.100.50:40740")
	add(48*second, "auth.failed", "", "method", "REGISTER", "user", "1000", "reason", "unknown_user", "flow", "udp 203.0.113.66:5071")
	add(48*second, "source.banned", "", "source", "203.0.113.66", "reason", "credentials")
	add(72*second, "flow.closed", "", "flow", "wss 198.51.100.61:40221", "error", "idle")
	add(95*time.Minute, "request.failed", Bob, "status", "480", "reason", "Temporarily Unavailable")
	add(95*time.Minute, "push.outcome", Bob, "provider", "fcm", "class", "gone", "reason", "UNREGISTERED", "status", "404")
}

func (s *Server) lanes() []admin.Lane {
	if s.empty {
		return nil
	}
	t := s.now()
	return []admin.Lane{
		{App: "example-ios", Provider: "apns", InFlight: 2, Limit: 1000, LastOK: t.Add(-3 * second), LastFailure: t.Add(-3 * time.Hour), LastReason: "BadDeviceToken"},
		{App: "example-android", Provider: "fcm", Queued: 4, InFlight: 7, Limit: 256, LastOK: t.Add(-1 * second), LastFailure: t.Add(-95 * time.Minute), LastReason: "UNREGISTERED"},
		{
			App: "browser", Provider: "webpush", Part: "push.example.org", Queued: 31, Limit: 64, LastOK: t.Add(-25 * time.Minute), LastFailure: t.Add(-18 * second), LastReason: "ServiceUnavailable", Failures: 12,
			PausedUntil: t.Add(42 * second), PausedFor: "unavailable", Said: "The push service of this browser has trouble of its own.", Do: "Wait.",
		},
		{App: "partner", Provider: "webhook", Part: "push.partner.example"},
	}
}

func (s *Server) messages() []admin.MessageUser {
	if s.empty {
		return nil
	}
	t := s.now()
	return []admin.MessageUser{
		{User: Bob, Messages: 3, Bytes: 1911, Oldest: t.Add(-84 * time.Minute), Until: t.Add(6*24*time.Hour + 22*time.Hour)},
		{User: "sip:dave@example.com", Messages: 1, Bytes: 240, Oldest: t.Add(-30 * time.Hour), Until: t.Add(5*24*time.Hour + 18*time.Hour)},
	}
}

const configuration = `listen:
  - {name: udp, transport: udp, addr: ":5060", advertise: sip.example.com}
  - {name: tls, transport: tls, addr: ":5061", advertise: sip.example.com, cert_file: /etc/reveille/sip.pem, key_file: /etc/reveille/sip.key}
  - {name: wss, transport: wss, addr: ":443", advertise: sip.example.com, cert_file: /etc/reveille/sip.pem, key_file: /etc/reveille/sip.key}
domains: [example.com]
auth:
  mode: {registrar: required, proxy: required}
  users:
    - {name: alice, password: <redacted>}
push:
  apps:
    - {name: example-ios, apns: {key_file: /etc/reveille/AuthKey.p8, key_id: ZYXWV98765, team_id: ABCDE12345, topic: com.example.phone}}
    - {name: example-android, fcm: {service_account_file: /etc/reveille/fcm.json}}
store:
  dir: /var/lib/reveille
http:
  addr: ":8443"
  tokens:
    - {name: erin, role: admin, token: <redacted>}
`
