package event

// A TypeInfo describes a type of event to those who read its JSON form.
type TypeInfo struct {
	Name, Doc string
	// Example is an event of the type.
	Example Event
}

// Types lists every type that there is. The examples carry no more than their type
// and what always comes with it.
func Types() []TypeInfo {
	reg := func(action string) Event { return Registration{Action: action} }
	call := func(step string) Event { return Call{Step: step} }
	message := func(step string) Event { return Message{Step: step} }
	return []TypeInfo{
		{"binding.registered", "a phone registered that was not registered", reg("created")},
		{"binding.updated", "something of a registration changed, such as the address or the token", reg("updated")},
		{TypeRefreshed, "a phone registered again and nothing changed but times", reg("refreshed")},
		{"binding.expired", "a registration ended because nothing came", reg("expired")},
		{"binding.dormant", "a registration ended because nothing came, and the phone may still be woken", reg("dormant")},
		{"binding.removed", "a phone or an operator ended a registration, or another phone took its place", reg("removed")},
		{"binding.refused", "a REGISTER was refused", reg("refused")},
		{"binding.refresh_due", "a phone must be woken to keep its registration", RefreshDue{}},
		{"push.requested", "somebody asks for a push", PushRequested{}},
		{"push.send", "a push that you send: the app's credential is `event`", PushSend{}},
		{"push.outcome", "what became of a push", PushOutcome{}},
		{"push.reported", "what your push system reported of a push", PushReported{}},
		{"request.received", "a request for a user arrived and may be passed on", call("received")},
		{"request.silent", "a phone that seemed to be awake said nothing, and is woken", call("silent")},
		{"request.parked", "a request waits for a phone to wake", call("parked")},
		{"request.woken", "the phone that a request waits for is back", call("woken")},
		{"request.released", "a request that waited was sent to its phone", call("released")},
		{"request.forwarded", "a request was sent to a phone that was awake", call("forwarded")},
		{"request.ringing", "the caller hears that a phone rings", call("ringing")},
		{"request.ringback", "the caller hears ringing, and the phone is still being woken", call("ringback")},
		{"request.answered", "a phone took the call or request", call("answered")},
		{"request.timed_out", "a phone did not wake in time", call("timed_out")},
		{"request.branch_ended", "one phone of a request that met a sleeping one has failed; others may go on", call("branch_ended")},
		{"request.diverted", "nobody of the user took the call, and it is sent elsewhere, such as to voicemail", call("diverted")},
		{"request.cancelled", "the caller gave up", call("cancelled")},
		{"request.failed", "the caller was told that it came to nothing", call("failed")},
		{"request.explained", "how a request that met a sleeping phone ended, and why: once for each, five seconds after its end", Explained{}},
		{"request.refused", "a request for a user was refused before anybody looked for a phone; of many only some are told", call("refused")},
		{"message.kept", "a message waits for its user, and its sender was told so", message("kept")},
		{"message.delivered", "a phone has a message that waited", message("delivered")},
		{"message.expired", "a message waited until it was of no more use", message("expired")},
		{"message.refused", "a phone will not take a message that waited, which is thrown away", message("refused")},
		{"flow.closed", "a connection ended", FlowClosed{}},
		{"auth.failed", "credentials were wrong", AuthFailed{}},
		{"source.banned", "a source is not listened to for a while", SourceBanned{}},
		{"admin.change", "somebody had the admin API change something, or tried to", AdminChange{}},
	}
}

// Known reports whether a pattern of NewFilter matches a type that there is.
func Known(pattern string) bool {
	f, err := NewFilter([]string{trimNot(pattern)}, "")
	if err != nil {
		return false
	}
	for _, t := range Types() {
		if f.Type(t.Name) {
			return true
		}
	}
	return false
}

func trimNot(pattern string) string {
	if len(pattern) > 0 && pattern[0] == '!' {
		return pattern[1:]
	}
	return pattern
}
