package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"reveille/flow"
)

// Version is that of the JSON form: another one means that something was taken
// away or changed its meaning. Types and fields may be added without.
const Version = 1

// TypeRefreshed is the type that is left out unless somebody asks for it: it comes
// with every refresh of every phone.
const TypeRefreshed = "binding.refreshed"

// An Envelope is the JSON form of every event. The doc tags here and below are the
// text of docs/events.md, which a test compares.
type Envelope struct {
	V    int             `json:"v" doc:"version of the form, 1"`
	ID   string          `json:"id" doc:"unique; a later event of a node has a greater one (UUID version 7)"`
	Time time.Time       `json:"time" doc:"when it happened (RFC 3339, UTC)"`
	Node uint32          `json:"node" doc:"where it happened, node.id"`
	Type string          `json:"type" doc:"what happened"`
	Data json.RawMessage `json:"data" doc:"the fields of the type; those without a value are left out"`
}

// Encode returns the JSON form of e for somebody who may see d.
func Encode(e Event, id string, at time.Time, node uint32, d Detail) ([]byte, error) {
	data, err := json.Marshal(e.data(d))
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.Type(), err)
	}
	return json.Marshal(Envelope{V: Version, ID: id, Time: at.UTC(), Node: node, Type: e.Type(), Data: data})
}

// About returns the user whom e is about, an AOR; empty if it is about none.
func About(e Event) string {
	switch e := e.(type) {
	case Registration:
		return e.AOR
	case RefreshDue:
		return e.AOR
	case PushRequested:
		return e.AOR
	case PushSend:
		return e.AOR
	case PushOutcome:
		return e.AOR
	case PushReported:
		return e.AOR
	case Call:
		return e.AOR
	case Explained:
		return e.AOR
	case Message:
		return e.AOR
	}
	return ""
}

// A FlowData is where a phone or caller is, as the server sees it.
type FlowData struct {
	Transport  string `json:"transport" doc:"udp, tcp, tls, ws or wss"`
	Remote     string `json:"remote" doc:"the peer's address and port"`
	Listener   string `json:"listener" doc:"the name in listen"`
	Connection uint64 `json:"connection,omitempty" doc:"number of the connection, not for udp"`
}

func dataOf(f flow.Flow) *FlowData {
	if f.IsZero() {
		return nil
	}
	return &FlowData{Transport: strings.ToLower(f.Transport.String()), Remote: f.Remote.String(), Listener: f.Listener, Connection: f.Conn}
}

// BindingData is in binding.registered, updated, refreshed, expired, removed and
// refused.
type BindingData struct {
	AOR        string            `json:"aor" doc:"the user"`
	Domain     string            `json:"domain" doc:"behind the @ of the user"`
	Cause      string            `json:"cause" doc:"register, expiry, operator, dead_token, flow, other_node or token_moved"`
	Binding    string            `json:"binding,omitempty" doc:"the phone's identity here, which it keeps as long as it comes back"`
	Contact    string            `json:"contact,omitempty" doc:"Contact URI, without what wakes the phone"`
	Received   string            `json:"received,omitempty" doc:"where a proxy in between saw the phone, a SIP URI"`
	Path       []string          `json:"path,omitempty" doc:"the way back through proxies (RFC 3327), topmost first"`
	Q          *float64          `json:"q,omitempty" doc:"preference, 0 to 1, if the phone named one"`
	UserAgent  string            `json:"user_agent,omitempty" doc:"User-Agent"`
	Methods    string            `json:"methods,omitempty" doc:"Allow"`
	Instance   string            `json:"instance,omitempty" doc:"+sip.instance"`
	RegID      uint32            `json:"reg_id,omitempty" doc:"reg-id (RFC 5626)"`
	Attributes map[string]string `json:"attributes,omitempty" doc:"what the register hook or header fields say of the phone (registrar.capture_headers), by name"`

	Provider  string    `json:"provider,omitempty" doc:"pn-provider (RFC 8599)"`
	Param     string    `json:"param,omitempty" doc:"pn-param; not in the stream for the role read"`
	Wakeable  bool      `json:"wakeable" doc:"whether there is a push token"`
	CallID    string    `json:"call_id,omitempty" doc:"Call-ID of the last REGISTER"`
	CSeq      uint32    `json:"cseq,omitempty" doc:"CSeq of the last REGISTER"`
	Flow      *FlowData `json:"flow,omitempty" doc:"where the last REGISTER came from"`
	Created   time.Time `json:"created,omitzero" doc:"when the phone first registered"`
	Expires   time.Time `json:"expires,omitzero" doc:"when the registration ends"`
	LatencyMS float64   `json:"latency_ms,omitempty" doc:"time of its last answer to OPTIONS (registrar.qualify)"`
	Status    int       `json:"status,omitempty" doc:"SIP status, if the REGISTER was refused"`
	Reason    string    `json:"reason,omitempty" doc:"why, if it was refused"`
	MovedTo   string    `json:"moved_to,omitempty" doc:"the user who has the push token now, if the cause is token_moved"`
}

// Type implements Event.
func (e Registration) Type() string {
	switch e.Action {
	case "refreshed":
		return TypeRefreshed // No concatenation: this is asked for every refresh.
	case "created":
		return "binding.registered"
	}
	return "binding." + e.Action
}

func (e Registration) data(d Detail) any {
	_, domain, _ := strings.Cut(e.AOR, "@")
	b := BindingData{
		AOR: e.AOR, Domain: domain, Cause: e.Cause, Binding: e.Binding, Contact: e.Contact, Received: e.Received, Path: e.Path,
		UserAgent: e.UserAgent, Methods: e.Methods, Instance: e.Instance, RegID: e.RegID, Attributes: e.Attributes, Provider: e.Provider, Param: d.param(e.Param),
		Wakeable: e.Wakeable, CallID: e.CallID, CSeq: e.CSeq, Flow: dataOf(e.Flow), Created: utc(e.Created), Expires: utc(e.Expires),
		LatencyMS: milliseconds(e.Latency), Status: e.Status, Reason: e.Reason, MovedTo: e.MovedTo,
	}
	if e.Q >= 0 && e.Binding != "" {
		q := float64(e.Q) / 1000
		b.Q = &q
	}
	return b
}

// RefreshDueData is in binding.refresh_due.
type RefreshDueData struct {
	AOR      string    `json:"aor" doc:"the user"`
	Binding  string    `json:"binding" doc:"the phone"`
	Provider string    `json:"provider" doc:"pn-provider"`
	Param    string    `json:"param,omitempty" doc:"pn-param; not in the stream for the role read"`
	Reason   string    `json:"reason" doc:"reg-refresh"`
	Expires  time.Time `json:"expires" doc:"when the registration ends if nothing comes"`
}

// Type implements Event.
func (RefreshDue) Type() string { return "binding.refresh_due" }

func (e RefreshDue) data(d Detail) any {
	return RefreshDueData{e.AOR, e.Binding, e.Provider, d.param(e.Param), reasonRefresh, utc(e.Expires)}
}

// reasonRefresh and the prefixes below say why a phone is woken, in the words that
// scripts for OpenSIPS know.
const (
	reasonRefresh = "reg-refresh"
	reasonInitial = "ini-"
	reasonMiddle  = "mid-"
)

// wakeReason says why a phone is woken.
func wakeReason(kind, method string) string {
	switch kind {
	case "refresh":
		return reasonRefresh
	case "cancel":
		return kind
	case "mid_dialog":
		return reasonMiddle + method
	}
	return reasonInitial + method
}

// PushRequestedData is in push.requested and push.send.
type PushRequestedData struct {
	PushID   string    `json:"push_id" doc:"names this wake in all events"`
	AOR      string    `json:"aor" doc:"the user"`
	Binding  string    `json:"binding" doc:"the phone"`
	App      string    `json:"app,omitempty" doc:"the name in push.apps; in push.send only"`
	Provider string    `json:"provider" doc:"pn-provider"`
	Param    string    `json:"param,omitempty" doc:"pn-param; not in the stream for the role read"`
	Token    string    `json:"token,omitempty" doc:"pn-prid; in push.send only, and where tokens are wanted"`
	P256DH   string    `json:"p256dh,omitempty" doc:"key of a Web Push subscription (RFC 8291), in base64url, if the phone gave it; where token is"`
	Auth     string    `json:"auth,omitempty" doc:"the secret of that subscription; where token is"`
	Kind     string    `json:"kind" doc:"call, message, mid_dialog, refresh or cancel"`
	Reason   string    `json:"reason" doc:"reg-refresh, ini-METHOD, mid-METHOD or cancel"`
	Method   string    `json:"method,omitempty" doc:"method of the request that waits"`
	CallID   string    `json:"call_id,omitempty" doc:"its Call-ID"`
	Deadline time.Time `json:"deadline,omitzero" doc:"when the push is of no more use"`
	// Extra comes last, for its keys are the configuration's.
	Extra map[string]string `json:"extra,omitempty" doc:"in push.send only: the further fields that payloads have, such as caller_name, if they are configured"`
}

// Type implements Event.
func (PushRequested) Type() string { return "push.requested" }

func (e PushRequested) data(d Detail) any {
	return PushRequestedData{
		PushID: e.PushID, AOR: e.AOR, Binding: e.Binding, Provider: e.Provider, Param: d.param(e.Param), Kind: e.PushKind,
		Reason: wakeReason(e.PushKind, e.Method), Method: e.Method, CallID: e.CallID, Deadline: utc(e.Deadline),
	}
}

// Type implements Event.
func (PushSend) Type() string { return "push.send" }

func (e PushSend) data(d Detail) any {
	s := PushRequestedData{
		PushID: e.PushID, AOR: e.AOR, Binding: e.Binding, App: e.App, Provider: e.Provider, Param: d.param(e.Param), Kind: e.PushKind,
		Reason: wakeReason(e.PushKind, e.Method), Method: e.Method, CallID: e.CallID, Deadline: utc(e.Deadline), Extra: e.Extra,
	}
	if d >= Tokens {
		s.Token, s.P256DH, s.Auth = string(e.Token), string(e.P256DH), string(e.Auth)
	}
	return s
}

// PushOutcomeData is in push.outcome.
type PushOutcomeData struct {
	PushID    string    `json:"push_id" doc:"as in push.requested"`
	SentAs    string    `json:"sent_as,omitempty" doc:"the push_id of the push that was sent for this one, too, which is what the app has; absent if it is this one"`
	AOR       string    `json:"aor" doc:"the user"`
	Binding   string    `json:"binding" doc:"the phone"`
	Provider  string    `json:"provider" doc:"pn-provider"`
	Kind      string    `json:"kind" doc:"as in push.requested"`
	Class     string    `json:"class" doc:"ok, gone, suspect, credential, rejected, throttled, unavailable, network, expired, shed or forbidden; see push.md"`
	Reason    string    `json:"reason,omitempty" doc:"the push service's own word"`
	Status    int       `json:"status,omitempty" doc:"HTTP status"`
	Attempts  int       `json:"attempts,omitempty" doc:"how often it was sent"`
	LatencyMS float64   `json:"latency_ms,omitempty" doc:"time from the request for the push"`
	CallID    string    `json:"call_id,omitempty" doc:"as in push.requested"`
	Proven    bool      `json:"proven,omitempty" doc:"whether the push service took another push with this credential within the last hour"`
	App       string    `json:"app,omitempty" doc:"the name in push.apps, if its certificate has expired and that may be why"`
	Expired   time.Time `json:"expired,omitzero" doc:"when that was"`
	Tries     []TryData `json:"tries,omitempty" doc:"the attempts: began, took_ms, class, reason and status of each, as above; of many the last are left out"`
}

// TryData is an attempt in push.outcome.
type TryData struct {
	Began  time.Time `json:"began"`
	TookMS float64   `json:"took_ms"`
	Class  string    `json:"class"`
	Reason string    `json:"reason,omitempty"`
	Status int       `json:"status,omitempty"`
}

// Type implements Event.
func (PushOutcome) Type() string { return "push.outcome" }

// data leaves out Err: what a library says may change.
func (e PushOutcome) data(Detail) any {
	d := PushOutcomeData{
		PushID: e.PushID, SentAs: e.SentAs, AOR: e.AOR, Binding: e.Binding, Provider: e.Provider, Kind: e.PushKind, Class: e.Class, Reason: e.Reason,
		Status: e.Status, Attempts: e.Attempts, LatencyMS: milliseconds(e.Latency), CallID: e.CallID, Proven: e.Proven, App: e.ExpiredApp, Expired: utc(e.Expired),
	}
	for _, t := range e.Tries {
		d.Tries = append(d.Tries, TryData{utc(t.Began), milliseconds(t.Took), t.Class, t.Reason, t.Status})
	}
	return d
}

// PushReportedData is in push.reported.
type PushReportedData struct {
	PushID  string `json:"push_id,omitempty" doc:"as in push.send, if the report named it"`
	AOR     string `json:"aor" doc:"the user"`
	Binding string `json:"binding,omitempty" doc:"the phone"`
	Result  string `json:"result" doc:"delivered, gone or failed"`
	Reason  string `json:"reason,omitempty" doc:"as it was reported"`
}

// Type implements Event.
func (PushReported) Type() string { return "push.reported" }

func (e PushReported) data(Detail) any {
	return PushReportedData(e)
}

// RequestData is in request.received, parked, woken, released, forwarded, ringing,
// answered, timed_out, diverted, cancelled, failed and refused.
type RequestData struct {
	Method    string    `json:"method" doc:"INVITE, MESSAGE, …"`
	CallID    string    `json:"call_id" doc:"its Call-ID"`
	From      string    `json:"from,omitempty" doc:"who sent it, without parameters"`
	To        string    `json:"to,omitempty" doc:"whom it is for, without parameters"`
	AOR       string    `json:"aor,omitempty" doc:"the user concerned"`
	Binding   string    `json:"binding,omitempty" doc:"the phone concerned"`
	PushID    string    `json:"push_id,omitempty" doc:"the push that the request waited for"`
	Flow      *FlowData `json:"flow,omitempty" doc:"where it came from or went to"`
	Status    int       `json:"status,omitempty" doc:"SIP status"`
	Reason    string    `json:"reason,omitempty" doc:"why it failed"`
	Rule      string    `json:"rule,omitempty" doc:"which key of the configuration refused it, in request.refused: acl.source, auth.trusted, auth.users (reason is that of auth.failed), guard.rate, guard.per_aor, hooks.route or overload"`
	ElapsedMS float64   `json:"elapsed_ms,omitempty" doc:"time since it arrived; in request.woken since the push"`
	Asleep    bool      `json:"asleep,omitempty" doc:"whether it has met a phone that has to be woken, or cannot be"`
	By        string    `json:"by,omitempty" doc:"whose word status and reason are, in request.failed and request.branch_ended: phone (or next hop) or server"`
	Lookup    string    `json:"lookup,omitempty" doc:"what the look-up of the user's phones came to: found, push_only (all have to be woken), none, method (none takes it), error; or binding for a request that names one phone"`
	Phones    int       `json:"phones,omitempty" doc:"how many phones the look-up found"`
	Deadline  time.Time `json:"deadline,omitzero" doc:"until when it waits for the phone"`
	Lacks     string    `json:"lacks,omitempty" doc:"why nothing wakes the phone: NoToken, DeadToken, NoApp or BadParameters"`
}

// Type implements Event.
func (e Call) Type() string {
	// The steps of every call, of which there are many.
	switch e.Step {
	case "received":
		return "request.received"
	case "forwarded":
		return "request.forwarded"
	case "ringing":
		return "request.ringing"
	case "answered":
		return "request.answered"
	}
	return "request." + e.Step
}

func (e Call) data(Detail) any {
	d := RequestData{
		Method: e.Method, CallID: e.CallID, From: e.From, To: e.To, AOR: e.AOR, Binding: e.Binding, PushID: e.PushID, Flow: dataOf(e.Flow),
		Status: e.Status, Reason: e.Reason, Rule: e.Rule.String(), ElapsedMS: milliseconds(e.Elapsed), Asleep: e.Asleep, Lookup: e.Lookup, Phones: e.Phones,
	}
	switch {
	case e.Phone:
		d.By = "phone"
	case e.Step == "failed" || e.Step == "branch_ended":
		d.By = "server"
	}
	if e.Sleeper != nil {
		d.Deadline, d.Lacks = utc(e.Sleeper.Deadline), e.Sleeper.Lacks
	}
	return d
}

// FlowClosedData is in flow.closed.
type FlowClosedData struct {
	Flow   *FlowData `json:"flow" doc:"the connection"`
	Reason string    `json:"reason,omitempty" doc:"why it ended"`
}

// Type implements Event.
func (FlowClosed) Type() string { return "flow.closed" }

func (e FlowClosed) data(Detail) any {
	d := FlowClosedData{Flow: dataOf(e.Flow)}
	if e.Err != nil {
		d.Reason = e.Err.Error()
	}
	return d
}

// AuthFailedData is in auth.failed.
type AuthFailedData struct {
	Method string    `json:"method" doc:"of the request"`
	User   string    `json:"user,omitempty" doc:"the name that was given"`
	Realm  string    `json:"realm,omitempty" doc:"the realm"`
	Flow   *FlowData `json:"flow,omitempty" doc:"where it came from"`
	Reason string    `json:"reason" doc:"what was wrong"`
}

// Type implements Event.
func (AuthFailed) Type() string { return "auth.failed" }

func (e AuthFailed) data(Detail) any {
	return AuthFailedData{e.Method, e.User, e.Realm, dataOf(e.Flow), e.Reason}
}

// SourceBannedData is in source.banned.
type SourceBannedData struct {
	Source        string    `json:"source" doc:"an IPv4 address or an IPv6 network"`
	Reason        string    `json:"reason" doc:"what it did"`
	DatagramsOnly bool      `json:"datagrams_only" doc:"whether its connections are still served"`
	Until         time.Time `json:"until" doc:"when the ban ends"`
}

// Type implements Event.
func (SourceBanned) Type() string { return "source.banned" }

func (e SourceBanned) data(Detail) any {
	return SourceBannedData{e.Source, e.Reason, e.DatagramsOnly, utc(e.Until)}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// utc keeps the zone of a machine out of what others read.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}
