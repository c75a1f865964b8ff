package sipmsg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const replyInvite = "INVITE sip:otto@lab.test SIP/2.0\r\n" +
	"v: SIP/2.0/UDP pc7.test;rport;branch=z9hG4bKn1\r\n" +
	"Via: SIP/2.0/UDP 10.0.0.6\r\n" +
	" ;branch=z9hG4bKn0\r\n" +
	"Record-Route: <sip:b.test;lr>\r\n" +
	"Record-Route: <sip:a.test;lr>\r\n" +
	"Max-Forwards: 70\r\n" +
	"f: Nina <sip:nina@lab.test>;tag=q1\r\n" +
	"To:  \"Otto\" <sip:otto@lab.test> \r\n" +
	"i: a84b\r\n" +
	"CSeq: 7   INVITE\r\n" +
	"Timestamp: 54\r\n" +
	"Contact: <sip:nina@pc7.test>\r\n" +
	"Content-Length: 0\r\n\r\n"

func TestMessage_AppendReply(t *testing.T) {
	const vias = "v: SIP/2.0/UDP pc7.test;rport=40123;branch=z9hG4bKn1;received=192.0.2.77\r\n" +
		"Via: SIP/2.0/UDP 10.0.0.6\r\n ;branch=z9hG4bKn0\r\n"
	const rr = "Record-Route: <sip:b.test;lr>\r\nRecord-Route: <sip:a.test;lr>\r\n"
	const from = "f: Nina <sip:nina@lab.test>;tag=q1\r\n"
	const to = "To:  \"Otto\" <sip:otto@lab.test>;tag=o1 \r\n"
	const call = "i: a84b\r\nCSeq: 7   INVITE\r\n"
	tests := []struct {
		name  string
		reply Reply
		want  string
	}{
		{
			name:  "100 has no tag but the Timestamp, RFC 3261 8.2.6.1",
			reply: Reply{Code: 100, ToTag: "o1"},
			want: "SIP/2.0 100 Trying\r\n" + vias + from + "To:  \"Otto\" <sip:otto@lab.test> \r\n" +
				"Timestamp: 54\r\n" + call + "Content-Length: 0\r\n\r\n",
		},
		{
			name:  "183 has Record-Route, RFC 3261 12.1.1",
			reply: Reply{Code: 183, ToTag: "o1"},
			want:  "SIP/2.0 183 Session Progress\r\n" + vias + rr + from + to + call + "Content-Length: 0\r\n\r\n",
		},
		{
			name: "200 with everything",
			reply: Reply{
				Code: 200, Reason: "Fine", ToTag: "o1", ContentType: "text/plain", Body: "Hi\r\n",
				Headers: []HeaderField{{"Contact", "<sip:otto@h>"}, {"Supported", "path"}},
			},
			want: "SIP/2.0 200 Fine\r\n" + vias + rr + from + to + call +
				"Contact: <sip:otto@h>\r\nSupported: path\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nHi\r\n",
		},
		{
			name:  "404 has no Record-Route",
			reply: Reply{Code: 404, ToTag: "o1"},
			want:  "SIP/2.0 404 Not Found\r\n" + vias + from + to + call + "Content-Length: 0\r\n\r\n",
		},
		{
			name:  "a code out of range stays a status line",
			reply: Reply{Code: 12345, ToTag: "o1"},
			want:  "SIP/2.0 699 Global Failure\r\n" + vias + from + to + call + "Content-Length: 0\r\n\r\n",
		},
	}
	m := mustParse(t, replyInvite)
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := m.AppendReply([]byte("before"), tc.reply)
			if diff := cmp.Diff("before"+tc.want, string(got)); diff != "" {
				t.Errorf("AppendReply (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessage_AppendReply_KeepsToTag_RFC3261_8_2_6_2(t *testing.T) {
	m := mustParse(t, plain("BYE", "sip:otto@lab.test", "To: sip:otto@lab.test ; Tag = o1"))
	if got := string(m.AppendReply(nil, Reply{Code: 200, ToTag: "other"})); !strings.Contains(got, "\r\nTo: sip:otto@lab.test ; Tag = o1\r\n") {
		t.Errorf("answer:\n%s", got)
	}
	m = mustParse(t, plain("BYE", "sip:otto@lab.test", "To: sip:otto@lab.test"))
	if got := string(m.AppendReply(nil, Reply{Code: 200, ToTag: "o1"})); !strings.Contains(got, "\r\nTo: sip:otto@lab.test;tag=o1\r\n") {
		t.Errorf("answer:\n%s", got)
	}
}

func TestMessage_AppendReply_RecordRoute(t *testing.T) {
	for method, want := range map[string]bool{"SUBSCRIBE": true, "REFER": true, "NOTIFY": true, "REGISTER": false, "BYE": false, "OPTIONS": false} {
		m := mustParse(t, plain(method, "sip:otto@lab.test", "Record-Route: <sip:a.test;lr>"))
		for code, want := range map[int]bool{200: want, 100: false, 180: false, 404: false} {
			got := strings.Contains(string(m.AppendReply(nil, Reply{Code: code})), "Record-Route")
			if got != want {
				t.Errorf("%d to %s has Record-Route: %v, want %v", code, method, got, want)
			}
		}
	}
}

func TestMessage_AppendACK_RFC3261_17_1_1_3(t *testing.T) {
	invite := mustParse(t, strings.Replace(replyInvite, "Max-Forwards", "Route: <sip:r.test;lr>\r\nRoute: <sip:s.test;lr>\r\nMax-Forwards", 1))
	resp := mustParse(t, string(invite.AppendReply(nil, Reply{Code: 486, ToTag: "o1"})))
	const want = "ACK sip:otto@lab.test SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP pc7.test;rport;branch=z9hG4bKn1\r\n" +
		"Route: <sip:r.test;lr>\r\nRoute: <sip:s.test;lr>\r\n" +
		"Max-Forwards: 70\r\n" +
		"f: Nina <sip:nina@lab.test>;tag=q1\r\n" +
		"To:  \"Otto\" <sip:otto@lab.test>;tag=o1 \r\n" +
		"i: a84b\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
	if diff := cmp.Diff(want, string(invite.AppendACK(nil, resp))); diff != "" {
		t.Errorf("AppendACK (-want +got):\n%s", diff)
	}
}

func TestMessage_AppendCancel_RFC3261_9_1(t *testing.T) {
	invite := mustParse(t, replyInvite)
	const want = "CANCEL sip:otto@lab.test SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP pc7.test;rport;branch=z9hG4bKn1\r\n" +
		"Max-Forwards: 70\r\n" +
		"f: Nina <sip:nina@lab.test>;tag=q1\r\n" +
		"To:  \"Otto\" <sip:otto@lab.test> \r\n" +
		"i: a84b\r\nCSeq: 7 CANCEL\r\n" +
		"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n" +
		"Content-Length: 0\r\n\r\n"
	got := invite.AppendCancel(nil, HeaderField{"Reason", `SIP;cause=200;text="Call completed elsewhere"`})
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("AppendCancel (-want +got):\n%s", diff)
	}
}

func TestStatusError(t *testing.T) {
	cause := errors.New("secret cause")
	tests := []struct {
		name    string
		err     error
		code    int
		phrase  string
		text    string
		headers int
	}{
		{"default phrase", &StatusError{Code: 404}, 404, "Not Found", "404 Not Found", 0},
		{"own phrase and cause", &StatusError{Code: 403, Phrase: "No", Err: cause}, 403, "No", "403 No: secret cause", 0},
		{
			"wrapped", fmt.Errorf("register: %w", &StatusError{Code: 423, Headers: []HeaderField{{"Min-Expires", "60"}}}),
			423, "Interval Too Brief", "register: 423 Interval Too Brief", 1,
		},
		{"unknown error", cause, 500, "Server Internal Error", "secret cause", 0},
		{"code that is no error", &StatusError{Code: 200}, 500, "Server Internal Error", "200 OK", 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			code, phrase, headers := StatusOf(tc.err)
			if code != tc.code || phrase != tc.phrase || len(headers) != tc.headers {
				t.Errorf("StatusOf = %d %q %v, want %d %q", code, phrase, headers, tc.code, tc.phrase)
			}
			if tc.err.Error() != tc.text {
				t.Errorf("Error() = %q, want %q", tc.err, tc.text)
			}
			if r := ErrorReply(tc.err, "t"); r.Code != tc.code || r.Reason != tc.phrase || r.ToTag != "t" || len(r.Headers) != tc.headers {
				t.Errorf("ErrorReply = %+v", r)
			}
		})
	}
	if !errors.Is(&StatusError{Code: 500, Err: cause}, cause) {
		t.Error("the cause is not unwrapped")
	}
}

func TestReasonPhrase(t *testing.T) {
	for code, want := range map[int]string{
		180: "Ringing", 199: "Early Dialog Terminated", 299: "OK", 398: "Redirection", 498: "Request Failure",
		555: "Push Notification Service Not Supported", 598: "Server Failure", 698: "Global Failure", 198: "Session Progress",
	} {
		if got := ReasonPhrase(code); got != want {
			t.Errorf("ReasonPhrase(%d) = %q, want %q", code, got, want)
		}
	}
}

// Lines stand behind Headers, as they are.
func TestAppendReply_Lines(t *testing.T) {
	m := mustParse(t, benchRegister)
	lines := "Contact: <sip:a@b>;expires=60\r\nDate: Sat, 21 Nov 2026 23:01:40 GMT\r\n"
	got := string(m.AppendReply(nil, Reply{Code: 200, Headers: []HeaderField{{"X", "y"}}, Lines: []byte(lines)}))
	if want := "\r\nX: y\r\n" + lines + "Content-Length: 0\r\n\r\n"; !strings.HasSuffix(got, want) {
		t.Errorf("the answer\n%s\ndoes not end with\n%s", got, want)
	}
}

func TestHeaderIDOf(t *testing.T) {
	for id := HdrOther + 1; id < numHeaderIDs; id++ {
		if got := HeaderIDOf(id.String()); id.String() == "" || got != id {
			t.Errorf("HeaderIDOf(%q) = %d, want %d", id, got, id)
		}
		if got := HeaderIDOf(strings.ToUpper(id.String())); got != id {
			t.Errorf("HeaderIDOf(%q) = %d, want %d", strings.ToUpper(id.String()), got, id)
		}
	}
	for name, want := range map[string]HeaderID{
		"v": HdrVia, "F": HdrFrom, "t": HdrTo, "i": HdrCallID, "m": HdrContact, "L": HdrContentLength, "c": HdrContentType,
		"k": HdrSupported, "o": HdrEvent, "r": HdrReferTo, "b": HdrReferredBy, "x": HdrSessionExpires, "y": HdrIdentity,
		"u": HdrAllowEvents, "e": HdrContentEncoding, "s": HdrSubject, "a": HdrAcceptContact, "j": HdrRejectContact,
		"d": HdrRequestDisposition,
		"":  HdrOther, "z": HdrOther, "!": HdrOther, "Vi\u212a": HdrOther, "X-Via": HdrOther, strings.Repeat("x", 300): HdrOther,
	} {
		if got := HeaderIDOf(name); got != want {
			t.Errorf("HeaderIDOf(%q) = %d, want %d", name, got, want)
		}
	}
	if HdrOther.String() != "" || HeaderID(255).String() != "" {
		t.Error("String of HdrOther or an unknown ID is not empty")
	}
}
