package sipmsg

import (
	"fmt"
	"strings"
	"testing"
)

// A tortureCase is a message in the spirit of one section of RFC 4475 or RFC
// 5118, and what Parse makes of it.
type tortureCase struct {
	name string // RFC, section and subject
	raw  string
	// want is 0 if the message is well formed, -1 if it is dropped, otherwise
	// the status of the answer.
	want  int
	check func(t *testing.T, m *Message)
}

// withBody appends a Content-Length, the empty line and a body to header lines.
func withBody(body string, lines ...string) string {
	return crlf(lines...) + fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// withLength is withBody with a Content-Length of the caller's choice.
func withLength(length, body string, lines ...string) string {
	return crlf(lines...) + "\r\nContent-Length: " + length + "\r\n\r\n" + body
}

// basics are the header fields of a plain request of method to bob, less those
// whose names are in without.
func basics(method string, without ...string) []string {
	var lines []string
	for _, l := range []string{
		"Via: SIP/2.0/UDP pc7.lab.test;branch=z9hG4bKq1w2e3",
		"From: <sip:nina@lab.test>;tag=f00d",
		"To: <sip:otto@lab.test>",
		"Call-ID: c-1@pc7.lab.test",
		"CSeq: 7 " + method,
		"Max-Forwards: 68",
	} {
		name, _, _ := strings.Cut(l, ":")
		if !contains(without, name) {
			lines = append(lines, l)
		}
	}
	return lines
}

// plain is a request of method with further or replaced header lines.
func plain(method, uri string, extra ...string) string {
	var names []string
	for _, l := range extra {
		name, _, _ := strings.Cut(l, ":")
		names = append(names, strings.TrimSpace(name))
	}
	lines := append([]string{method + " " + uri + " SIP/2.0"}, basics(method, names...)...)
	lines = append(lines, extra...)
	return crlf(lines...) + "\r\n\r\n"
}

const testSDP = "v=0\r\no=nina 1 1 IN IP4 198.51.100.4\r\ns=-\r\nc=IN IP4 198.51.100.4\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

var tortureCases = []tortureCase{
	{
		name: "RFC4475_3_1_1_1_short tortuous INVITE",
		raw: withBody(testSDP,
			"INVITE sip:otto@lab.test;oddparam SIP/2.0",
			"TO :",
			"  sip:otto@lab.test ;   tag    = 77aa88bb",
			"from   : \"N \\\\\\\" Ina\"       <sip:nina@lab.test>",
			"  ;",
			"  tag = q1w2e3",
			"mAX-forWARDS: 0042",
			"Call-ID: tortuous.1@pc7.lab.test",
			"cSEQ: 0031",
			"   INVITE",
			"Via  : SIP  /   2.0",
			" /UDP",
			"    198.51.100.4;branch=noCookie77",
			"s :",
			"BrandNewHeader:   with a value",
			" that goes on",
			"OddlyValuedHeader: ,,;;;,;",
			"Content-Type: application/sdp",
			"Route:",
			" <sip:edge.lab.test;lr;oddwith=value;odd-without>",
			"v:  SIP  / 2.0  / TCP     gate.lab.test   ;",
			"  branch  =   z9hG4bKgate1  ,",
			" SIP  /    2.0   / UDP  203.0.113.5   ; branch=",
			" z9hG4bKgate2",
			"m:\"Has a quote \\\"\\\"\" <sip:nina@lab.test> ; freshparam =",
			"      freshvalue ;",
			"  another ; q = 0.25"),
		check: func(t *testing.T, m *Message) {
			eq(t, "ToTag", m.ToTag(), "77aa88bb")
			eq(t, "FromTag", m.FromTag(), "q1w2e3")
			eq(t, "From display", m.From().Display, `N \" Ina`)
			eq(t, "CSeq", m.CSeq(), CSeq{31, "INVITE"})
			mf, _ := m.MaxForwards()
			eq(t, "MaxForwards", mf, 42)
			eq(t, "len(Vias)", len(m.Vias()), 3)
			eq(t, "Vias[0].Transport", m.Vias()[0].Transport, "UDP")
			eq(t, "Vias[1].Branch", m.Vias()[1].Branch(), "z9hG4bKgate1")
			eq(t, "Vias[2].Host", m.Vias()[2].Host, "203.0.113.5")
			eq(t, "Vias[2].Branch", m.Vias()[2].Branch(), "z9hG4bKgate2")
			eq(t, "len(Contacts)", len(m.Contacts()), 1)
			eq(t, "Contact display", m.Contacts()[0].Display, `Has a quote ""`)
			q, _ := m.Contacts()[0].Params.Get("Q")
			eq(t, "Contact q", q, "0.25")
			fresh, _ := m.Contacts()[0].Params.Get("freshparam")
			eq(t, "Contact freshparam", fresh, "freshvalue")
			subject, ok := m.Header(HdrSubject)
			eq(t, "Subject", subject, "")
			eq(t, "has Subject", ok, true)
			v, _ := m.HeaderNamed("brandnewheader")
			eq(t, "BrandNewHeader", v, "with a value that goes on")
			_, ok = m.Routes()[0].URI.Param("odd-without")
			eq(t, "Route odd-without", ok, true)
			eq(t, "Body", m.Body(), testSDP)
		},
	},
	{
		name: "RFC4475_3_1_1_2_wide range of characters",
		raw: withBody("",
			"!odd-Method987_*+`.%strange'~ sip:7_odd.URI~(is-it!not)&can't+be$mad?,/;;*:&pw+of=7,odd!*cash$wi~th_too.(isn't-it)@lab.test SIP/2.0",
			"Via: SIP/2.0/TCP pc7.lab.test;branch=z9hG4bK-.!%55*_+`'~",
			"To: \"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f\" <sip:7_odd.URI~(is-it!not)&can't+be$mad?,/;;*@lab.test>",
			"From: word1~` word2'+_ word3*%!.- <sip:nina@lab.test>;odd''~+*_!.-%=\"\u0434\u0430\";tag=_word~7'+`*%!-.",
			"Call-ID: chars.word%YZ-!.*_+'@word`~)(><:\\/\"][?}{",
			"CSeq: 4294967295 !odd-Method987_*+`.%strange'~",
			"Max-Forwards: 255",
			"oddHeader-!.%*+_`'~: \ufeff\u5927"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Method", m.Method(), "!odd-Method987_*+`.%strange'~")
			eq(t, "User", m.RequestURI().User, "7_odd.URI~(is-it!not)&can't+be$mad?,/;;*")
			eq(t, "Password", m.RequestURI().Password, "&pw+of=7,odd!*cash$wi~th_too.(isn't-it)")
			eq(t, "Host", m.RequestURI().Host, "lab.test")
			eq(t, "To display", m.To().Display, "BEL:\x07 NUL:\x00 DEL:\x7f")
			eq(t, "From display", m.From().Display, "word1~` word2'+_ word3*%!.-")
			eq(t, "FromTag", m.FromTag(), "_word~7'+`*%!-.")
			odd, _ := m.From().Params.Get("odd''~+*_!.-%")
			eq(t, "From odd", odd, "\u0434\u0430")
			eq(t, "CallID", m.CallID(), "chars.word%YZ-!.*_+'@word`~)(><:\\/\"][?}{")
			eq(t, "Branch", m.TopVia().Branch(), "z9hG4bK-.!%55*_+`'~")
		},
	},
	{
		name: "RFC4475_3_1_1_3_escapes",
		raw: withBody(testSDP,
			"INVITE sip:sips%3Aotto%40lab.test@other.test SIP/2.0",
			"To: sip:%6Ftt%6F@lab.test",
			"From: <sip:a%20spaced%20name@other.test>;tag=11",
			"Max-Forwards: 60",
			"i: escapes.1",
			"CSeq: 11 INVITE",
			"Via: SIP/2.0/UDP pc7.lab.test;branch=z9hG4bKesc",
			"C: application/sdp",
			"Contact:",
			"  <sip:n%69na@pc7.lab.test;%6C%72;n%61me=v%61lue%25%34%31>"),
		check: func(t *testing.T, m *Message) {
			eq(t, "User", Unescape(m.RequestURI().User), "sips:otto@lab.test")
			contact := m.Contacts()[0].URI
			_, ok := contact.Param("lr")
			eq(t, "Contact lr", ok, true)
			v, _ := contact.Param("name")
			eq(t, "Contact name", Unescape(v), "value%41")
			other, _ := ParseURI("sip:nina@pc7.lab.test;lr;name=valueA")
			eq(t, "Equal(valueA)", contact.Equal(other), false)
			same, _ := ParseURI("sip:nina@pc7.lab.test;lr;name=value%2541")
			eq(t, "Equal(value%2541)", contact.Equal(same), true)
			aor, _ := CanonicalAOR(m.To().URI)
			eq(t, "AOR", aor, "sip:otto@lab.test")
		},
	},
	{
		name: "RFC4475_3_1_1_4_escaped NUL",
		raw: plain("REGISTER", "sip:lab.test",
			"To: sip:a-%00-z@lab.test",
			"From: sip:a-%00-z@lab.test;tag=5",
			"Contact: <sip:%00@pc7.lab.test>",
			"Contact: <sip:%00%00@pc7.lab.test>",
			"L:0"),
		check: func(t *testing.T, m *Message) {
			aor, err := CanonicalAOR(m.To().URI)
			eq(t, "AOR", aor, "sip:a-%00-z@lab.test")
			eq(t, "err", err, nil)
			eq(t, "unescaped user", Unescape(m.To().URI.User), "a-\x00-z")
			eq(t, "len(Contacts)", len(m.Contacts()), 2)
			eq(t, "contacts equal", m.Contacts()[0].URI.Equal(m.Contacts()[1].URI), false)
		},
	},
	{
		name: "RFC4475_3_1_1_5_percent that is no escape",
		raw: plain("RE%47IST%45R", "sip:lab.test",
			"To: \"%Q%45\" <sip:nina@lab.test>",
			"Contact: <sip:one@a.lab.test>",
			"C%6Fntact: <sip:two@b.lab.test>",
			"Contact: <sip:three@c.lab.test>",
			"l: 0"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Method", m.Method(), "RE%47IST%45R")
			eq(t, "To display", m.To().Display, "%Q%45")
			eq(t, "len(Contacts)", len(m.Contacts()), 2)
			v, _ := m.HeaderNamed("c%6fntact")
			eq(t, "C%6Fntact", v, "<sip:two@b.lab.test>")
		},
	},
	{
		name: "RFC4475_3_1_1_6_no white space before angle bracket",
		raw:  plain("OPTIONS", "sip:otto@lab.test", "From: nina<sip:nina@lab.test>;tag=9", "l: 0"),
		check: func(t *testing.T, m *Message) {
			eq(t, "From display", m.From().Display, "nina")
			eq(t, "FromTag", m.FromTag(), "9")
		},
	},
	{
		name: "RFC4475_3_1_1_7_long values",
		raw: withBody(testSDP, append([]string{
			"INVITE sip:otto@lab.test SIP/2.0",
			"To: \"My name is of " + strings.Repeat("vast", 12) + " length\" <sip:otto@lab.test:6001;first=" +
				strings.Repeat("far", 30) + ";long" + strings.Repeat("key", 25) + "=v;" + strings.Repeat("novalue", 25) + ">",
			"F: sip:" + strings.Repeat("endlessname", 9) + "@lab.test;tag=" + strings.Repeat("741", 60) +
				";unheard" + strings.Repeat("of", 20) + "=x;" + strings.Repeat("bare", 12),
			"Call-ID: long." + strings.Repeat("verylong", 25),
			"CSeq: 3 INVITE",
			"Unheard-" + strings.Repeat("Of", 30) + "-Header: " + strings.Repeat("text-", 30) + "; key = value",
			"Max-Forwards: 70",
		}, longVias(34)...)...),
		check: func(t *testing.T, m *Message) {
			eq(t, "len(Vias)", len(m.Vias()), 34)
			eq(t, "Vias[3].Host", m.Vias()[3].Host, "hop30.lab.test")
			eq(t, "Vias[0].Branch", m.Vias()[0].Branch(), "")
			eq(t, "FromTag", m.FromTag(), strings.Repeat("741", 60))
			eq(t, "To port", m.To().URI.PortNum(), 6001)
		},
	},
	{
		name: "RFC4475_3_1_1_8_octets behind the datagram's message",
		raw: plain("REGISTER", "sip:lab.test", "Contact: sip:nina@pc7.lab.test", "Content-Length: 0") +
			plain("INVITE", "sip:victim@lab.test"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Body", m.Body(), "")
			eq(t, "contains INVITE", strings.Contains(m.Raw(), "INVITE"), false)
			eq(t, "forwarded contains INVITE", strings.Contains(string(m.Edit().Bytes()), "INVITE"), false)
		},
	},
	{
		name: "RFC4475_3_1_1_9_semicolon in user part",
		raw:  plain("OPTIONS", "sip:otto;opt=x%40other.test@lab.test", "Accept: application/sdp,", "Accept: text/plain"),
		check: func(t *testing.T, m *Message) {
			eq(t, "User", Unescape(m.RequestURI().User), "otto;opt=x@other.test")
			eq(t, "Host", m.RequestURI().Host, "lab.test")
			eq(t, "Params", m.RequestURI().Params, "")
		},
	},
	{
		name: "RFC4475_3_1_1_10_transports",
		raw: plain("OPTIONS", "sip:otto@lab.test",
			"Via: SIP/2.0/UDP a.lab.test;branch=z9hG4bK1",
			"Via: SIP/2.0/SCTP b.lab.test;branch=z9hG4bK2",
			"Via: SIP/2.0/tls c.lab.test;branch=z9hG4bK3",
			"Via: SIP/2.0/Pigeon d.lab.test;branch=z9hG4bK4",
			"Via: SIP/2.0/TCP e.lab.test;branch=z9hG4bK5"),
		check: func(t *testing.T, m *Message) {
			var got []string
			for _, v := range m.Vias() {
				got = append(got, v.Transport)
			}
			eq(t, "transports", strings.Join(got, " "), "UDP SCTP TLS PIGEON TCP")
		},
	},
	{
		name: "RFC4475_3_1_1_11_multipart body with NULs",
		raw: withBody("--b1\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b1\r\nContent-Type: application/octet-stream\r\n\r\n\x30\x00\x0a\x0d\x00\xff\r\n--b1--\r\n",
			append([]string{"MESSAGE sip:otto@lab.test SIP/2.0", "Content-Type: multipart/mixed;boundary=b1"}, basics("MESSAGE")...)...),
		check: func(t *testing.T, m *Message) {
			eq(t, "body has NUL", strings.Contains(m.Body(), "\x30\x00\x0a\x0d\x00\xff"), true)
			eq(t, "body ends", strings.HasSuffix(m.Body(), "--b1--\r\n"), true)
		},
	},
	{
		name: "RFC4475_3_1_1_12_unusual reason phrase",
		raw:  withBody("", append([]string{"SIP/2.0 200 = 3**2 * 7**1 \u043d\u043e \u0441\u0442\u043e"}, basics("INVITE", "Max-Forwards")...)...),
		check: func(t *testing.T, m *Message) {
			eq(t, "Reason", m.Reason(), "= 3**2 * 7**1 \u043d\u043e \u0441\u0442\u043e")
			eq(t, "Status", m.Status(), 200)
			eq(t, "Method", m.Method(), "INVITE")
		},
	},
	{
		name:  "RFC4475_3_1_1_13_empty reason phrase",
		raw:   withBody("", append([]string{"SIP/2.0 100 "}, basics("INVITE")...)...),
		check: func(t *testing.T, m *Message) { eq(t, "Reason", m.Reason(), "") },
	},
	{
		name:  "RFC4475_3_1_1_13_no space behind the code",
		raw:   withBody("", append([]string{"SIP/2.0 100"}, basics("INVITE")...)...),
		check: func(t *testing.T, m *Message) { eq(t, "Status", m.Status(), 100) },
	},
	{
		name: "RFC4475_3_1_2_1_extra separators in Contact",
		raw:  plain("INVITE", "sip:otto@lab.test", "Contact: \"Nina\" <sip:nina@lab.test>;;;"),
		want: 400,
	},
	{
		// The Via cannot be read, so there is nobody to answer.
		name: "RFC4475_3_1_2_1_extra separators in Via",
		raw:  plain("INVITE", "sip:otto@lab.test", "Via: SIP/2.0/UDP 198.51.100.4;;,;,,"),
		want: -1,
	},
	{
		name: "RFC4475_3_1_2_1_extra separators in the second Via",
		raw:  plain("INVITE", "sip:otto@lab.test", "Via: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK1,,"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_2_Content-Length larger than the datagram",
		raw:  withLength("9998", testSDP, append([]string{"INVITE sip:otto@lab.test SIP/2.0"}, basics("INVITE")...)...),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_3_negative Content-Length",
		raw:  withLength("-42", testSDP, append([]string{"INVITE sip:otto@lab.test SIP/2.0"}, basics("INVITE")...)...),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_3_Content-Length in words",
		raw:  withLength("seven", testSDP, append([]string{"INVITE sip:otto@lab.test SIP/2.0"}, basics("INVITE")...)...),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_4_overlarge CSeq",
		raw:  plain("REGISTER", "sip:lab.test", "CSeq: 4294967296 REGISTER"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_4_CSeq beyond 64 bits",
		raw:  plain("REGISTER", "sip:lab.test", "CSeq: 36893488147419103233 REGISTER"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_4_overlarge Max-Forwards",
		raw:  plain("REGISTER", "sip:lab.test", "Max-Forwards: 256"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_4_overlarge expiry",
		raw: plain("REGISTER", "sip:lab.test", "Expires: 1"+strings.Repeat("0", 99),
			"Contact: <sip:nina@pc7.lab.test>;expires=280297596632816"),
		check: func(t *testing.T, m *Message) {
			v, _ := m.Expires()
			n, ok := ParseDeltaSeconds(v)
			eq(t, "Expires", n, 3600)
			eq(t, "ok", ok, false)
			v, _ = m.Contacts()[0].Params.Get("expires")
			n, _ = ParseDeltaSeconds(v)
			eq(t, "expires", n, 3600)
		},
	},
	{
		name: "RFC4475_3_1_2_5_response with overlarge CSeq",
		raw: withBody("", append([]string{
			"SIP/2.0 503 Service Unavailable", "CSeq: 9292394834772304023313 OPTIONS",
			"Retry-After: 949302838503028349304023989",
		}, basics("OPTIONS", "CSeq")...)...),
		want: -1,
	},
	{
		name: "RFC4475_3_1_2_6_unclosed quote in To",
		raw:  plain("INVITE", "sip:otto@lab.test", "To: \"Otto O. <sip:otto@lab.test>"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_7_Request-URI in angle brackets",
		raw:  plain("INVITE", "<sip:otto@lab.test>"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_8_white space in Request-URI",
		raw:  plain("INVITE", "sip:otto@lab.test; lr"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_9_several spaces in the start line",
		raw:  plain("INVITE", " sip:otto@lab.test "),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_10_spaces at the end of the start line",
		raw:  strings.Replace(plain("OPTIONS", "sip:otto@lab.test"), "SIP/2.0\r\n", "SIP/2.0  \r\n", 1),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_11_URI headers in Request-URI",
		raw:  plain("INVITE", "sip:otto@lab.test?Route=%3Csip:elsewhere.test%3E"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_12_time zone of Date is none of our business",
		raw:  plain("INVITE", "sip:otto@lab.test", "Date: Sat, 02 Jan 2010 16:00:00 CET"),
		check: func(t *testing.T, m *Message) {
			v, _ := m.Header(HdrDate)
			eq(t, "Date", v, "Sat, 02 Jan 2010 16:00:00 CET")
		},
	},
	{
		name: "RFC4475_3_1_2_13_URI headers without angle brackets",
		raw:  plain("REGISTER", "sip:lab.test", "Contact: sip:nina@lab.test?Route=%3Csip:elsewhere.test%3E"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_14_spaces inside angle brackets",
		raw:  plain("OPTIONS", "sip:otto@lab.test", "To: \"O, Otto\" < sip:otto@lab.test >"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_15_comma in a display name without quotes",
		raw:  plain("OPTIONS", "sip:otto@lab.test", "From: Nilsson, Nina <sip:nina@lab.test>;tag=4"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_16_unknown version",
		raw: strings.NewReplacer("SIP/2.0", "SIP/7.0").Replace(
			plain("OPTIONS", "sip:otto@lab.test", "From: N. Nilsson <sip:nina@lab.test>;tag=4")),
		want: 505,
	},
	{
		name: "RFC4475_3_1_2_17_method differs from CSeq",
		raw:  plain("OPTIONS", "sip:otto@lab.test", "CSeq: 8 INVITE"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_18_unknown method differs from CSeq",
		raw:  plain("FRESHMETHOD", "sip:otto@lab.test", "CSeq: 8 INVITE"),
		want: 400,
	},
	{
		name: "RFC4475_3_1_2_19_overlarge status code",
		raw:  withBody("", append([]string{"SIP/2.0 4294967302 do not fall over"}, basics("INVITE")...)...),
		want: -1,
	},
	{
		name:  "RFC4475_3_2_1_branch of the cookie alone is the transaction layer's question",
		raw:   plain("OPTIONS", "sip:otto@lab.test", "Via: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK"),
		check: func(t *testing.T, m *Message) { eq(t, "Branch", m.TopVia().Branch(), "z9hG4bK") },
	},
	{
		name: "RFC4475_3_3_1_From, To and Call-ID missing",
		raw: withBody(testSDP, append([]string{"INVITE sip:otto@lab.test SIP/2.0"},
			basics("INVITE", "From", "To", "Call-ID", "Max-Forwards")...)...),
		want: 400,
	},
	{
		name: "RFC4475_3_3_2_unknown scheme in Request-URI",
		raw:  plain("OPTIONS", "thatSchemeIsUnheardOf:someopaquetext", "Content-Length: 0"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Scheme", m.RequestURI().Scheme, "thatSchemeIsUnheardOf")
			eq(t, "Opaque", m.RequestURI().Opaque, "someopaquetext")
			eq(t, "IsSIP", m.RequestURI().IsSIP(), false)
		},
	},
	{
		name:  "RFC4475_3_3_3_atypical scheme in Request-URI",
		raw:   plain("OPTIONS", "soap.beep://198.51.100.4:3003"),
		check: func(t *testing.T, m *Message) { eq(t, "Scheme", m.RequestURI().Scheme, "soap.beep") },
	},
	{
		name: "RFC4475_3_3_4_unknown schemes in header fields",
		raw: plain("REGISTER", "sip:lab.test", "To: isbn:2983792874", "From: <http://www.lab.test>;tag=32",
			"Contact: <name:Nina_Nilsson>"),
		check: func(t *testing.T, m *Message) {
			eq(t, "To scheme", m.To().URI.Scheme, "isbn")
			eq(t, "From opaque", m.From().URI.Opaque, "//www.lab.test")
			eq(t, "Contact opaque", m.Contacts()[0].URI.Opaque, "Nina_Nilsson")
			_, err := CanonicalAOR(m.To().URI)
			eq(t, "CanonicalAOR error", err, ErrNotSIPURI)
		},
	},
	{
		name: "RFC4475_3_3_5_Require and Proxy-Require",
		raw: plain("OPTIONS", "sip:otto@lab.test", "Require: unheardOf, nobodyHasThis",
			"Proxy-Require: noProxyHasThis,noneAtAll"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Require", m.HasToken(HdrRequire, "NobodyHasThis"), true)
			eq(t, "Proxy-Require", m.HasToken(HdrProxyRequire, "noneAtAll"), true)
			eq(t, "other", m.HasToken(HdrProxyRequire, "unheardOf"), false)
		},
	},
	{
		name: "RFC4475_3_3_6_unknown Content-Type",
		raw: withBody("<sound>\r\n</sound>", append([]string{
			"INVITE sip:otto@lab.test SIP/2.0",
			"Content-Type: application/unheardof",
		}, basics("INVITE")...)...),
		check: func(t *testing.T, m *Message) { eq(t, "Body", m.Body(), "<sound>\r\n</sound>") },
	},
	{
		name: "RFC4475_3_3_7_unknown Authorization scheme",
		raw:  plain("REGISTER", "sip:lab.test", "Authorization: UnheardOfScheme opaque-thing=here", "Content-Length:0"),
		check: func(t *testing.T, m *Message) {
			v, _ := m.Header(HdrAuthorization)
			eq(t, "Authorization", v, "UnheardOfScheme opaque-thing=here")
		},
	},
	{
		name: "RFC4475_3_3_8_several From",
		raw:  plain("INVITE", "sip:otto@lab.test", "From: sip:a@lab.test;tag=1", "From: sip:b@lab.test;tag=2"),
		want: 400,
	},
	{
		name: "RFC4475_3_3_8_several To",
		raw:  plain("INVITE", "sip:otto@lab.test", "To: sip:a@lab.test", "t: sip:b@lab.test"),
		want: 400,
	},
	{
		name: "RFC4475_3_3_8_several Call-ID",
		raw:  plain("INVITE", "sip:otto@lab.test", "Call-ID: a", "i: b"),
		want: 400,
	},
	{
		name: "RFC4475_3_3_8_several CSeq",
		raw:  plain("INVITE", "sip:otto@lab.test", "CSeq: 5 INVITE", "CSeq: 59 INVITE"),
		want: 400,
	},
	{
		name: "RFC4475_3_3_8_several Max-Forwards",
		raw:  plain("INVITE", "sip:otto@lab.test", "Max-Forwards: 70", "Max-Forwards: 5"),
		want: 400,
	},
	{
		name: "RFC4475_3_3_9_several Content-Length",
		raw: withLength("5", "Who knows where this ends?", append([]string{
			"OPTIONS sip:otto@lab.test SIP/2.0",
			"Content-Length: 14",
		}, basics("OPTIONS")...)...),
		want: 400,
	},
	{
		name: "RFC4475_3_3_10_response with a broadcast Via is the proxy's question",
		raw: withBody("", append([]string{
			"SIP/2.0 200 OK", "Via: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bK1",
			"Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2",
		}, basics("INVITE", "Via")...)...),
		check: func(t *testing.T, m *Message) { eq(t, "Vias[1].Host", m.Vias()[1].Host, "255.255.255.255") },
	},
	{
		name: "RFC4475_3_3_11_Max-Forwards of zero",
		raw:  plain("OPTIONS", "sip:otto@lab.test", "Max-Forwards: 0"),
		check: func(t *testing.T, m *Message) {
			n, ok := m.MaxForwards()
			eq(t, "MaxForwards", n, 0)
			eq(t, "ok", ok, true)
		},
	},
	{
		name: "RFC4475_3_3_12_Contact header parameter",
		raw:  plain("REGISTER", "sip:lab.test", "Contact: sip:+4930555@gw.lab.test;oddparam"),
		check: func(t *testing.T, m *Message) {
			c := m.Contacts()[0]
			eq(t, "URI params", c.URI.Params, "")
			eq(t, "URI", c.URI.String(), "sip:+4930555@gw.lab.test")
			eq(t, "header param", c.Params.Has("oddparam"), true)
		},
	},
	{
		name: "RFC4475_3_3_13_Contact URI parameter",
		raw:  plain("REGISTER", "sip:lab.test", "Contact: <sip:+4930555@gw.lab.test;oddparam>"),
		check: func(t *testing.T, m *Message) {
			c := m.Contacts()[0]
			eq(t, "URI params", c.URI.Params, ";oddparam")
			eq(t, "Params", c.Params, "")
		},
	},
	{
		name: "RFC4475_3_3_14_URI header in Contact",
		raw:  plain("REGISTER", "sip:lab.test", "M: <sip:nina@lab.test?Route=%3Csip:edge.lab.test%3E>", "L:0"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Headers", m.Contacts()[0].URI.Headers, "?Route=%3Csip:edge.lab.test%3E")
		},
	},
	{
		name: "RFC4475_3_3_15_unacceptable Accept is the endpoint's question",
		raw:  plain("INVITE", "sip:otto@lab.test", "Accept: text/unheardof"),
	},
	{
		name: "RFC4475_3_4_1_INVITE of RFC 2543",
		raw: crlf(
			"INVITE sip:UserO@lab.test SIP/2.0",
			"Via: SIP/2.0/UDP oldgw.lab.test",
			"From: <sip:+4930555@oldgw.lab.test;user=phone>",
			"Record-Route: <sip:UserO@lab.test;maddr=ss7.lab.test>",
			"To: sip:+4930777@ss7.lab.test;user=phone",
			"Call-ID: old.1@oldgw.lab.test",
			"CSeq: 56 INVITE",
			"Content-Type: application/sdp",
			"", testSDP),
		check: func(t *testing.T, m *Message) {
			eq(t, "Branch", m.TopVia().Branch(), "")
			eq(t, "FromTag", m.FromTag(), "")
			eq(t, "Body", m.Body(), testSDP)
			_, ok := m.MaxForwards()
			eq(t, "has Max-Forwards", ok, false)
			eq(t, "To user param", m.To().Params.Has("user"), true)
			eq(t, "len(RecordRoutes)", len(m.RecordRoutes()), 1)
		},
	},

	{
		name: "RFC5118_4_1_IPv6 reference",
		raw: plain("REGISTER", "sip:[2001:db8::77]", "Via: SIP/2.0/UDP [2001:db8::5:1];branch=z9hG4bK6",
			"Contact: \"Nina\" <sip:nina@[2001:db8::5:1]>"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Host", m.RequestURI().Host, "[2001:db8::77]")
			addr, ok := m.RequestURI().HostAddr()
			eq(t, "HostAddr", addr.String(), "2001:db8::77")
			eq(t, "ok", ok, true)
			eq(t, "SentBy", m.TopVia().SentBy(), "[2001:db8::5:1]")
		},
	},
	{
		name: "RFC5118_4_2_IPv6 without brackets",
		raw:  plain("REGISTER", "sip:2001:db8::77"),
		want: 400,
	},
	{
		name: "RFC5118_4_3_port inside the brackets",
		raw:  plain("REGISTER", "sip:[2001:db8::77:5080]"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Host", m.RequestURI().Host, "[2001:db8::77:5080]")
			eq(t, "PortNum", m.RequestURI().PortNum(), 0)
		},
	},
	{
		name: "RFC5118_4_4_port behind the brackets",
		raw:  plain("REGISTER", "sip:[2001:db8::77]:5080"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Host", m.RequestURI().Host, "[2001:db8::77]")
			eq(t, "PortNum", m.RequestURI().PortNum(), 5080)
		},
	},
	{
		name: "RFC5118_4_5_received with brackets",
		raw:  plain("BYE", "sip:[2001:db8::77]", "Via: SIP/2.0/UDP [2001:db8::5:1];received=[2001:db8::5:fe];branch=z9hG4bK6"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Received", m.TopVia().Received(), "[2001:db8::5:fe]")
			eq(t, "Branch", m.TopVia().Branch(), "z9hG4bK6")
		},
	},
	{
		name:  "RFC5118_4_5_received without brackets",
		raw:   plain("OPTIONS", "sip:[2001:db8::77]", "Via: SIP/2.0/UDP [2001:db8::5:1];received=2001:db8::5:fe;branch=z9hG4bK6"),
		check: func(t *testing.T, m *Message) { eq(t, "Received", m.TopVia().Received(), "2001:db8::5:fe") },
	},
	{
		name: "RFC5118_4_6_IPv6 in SDP",
		raw: withBody("v=0\r\no=n 1 0 IN IP6 2001:db8::5\r\ns=Today's pictures\r\nc=IN IP6 2001:db8::5\r\nt=0 0\r\n",
			append([]string{"INVITE sip:otto@[2001:db8::77] SIP/2.0"}, basics("INVITE")...)...),
		check: func(t *testing.T, m *Message) {
			eq(t, "body", strings.Contains(m.Body(), "c=IN IP6 2001:db8::5\r\n"), true)
		},
	},
	{
		name: "RFC5118_4_7_IPv4 and IPv6 in one message",
		raw: plain("BYE", "sip:otto@pc9.lab.test",
			"Via: SIP/2.0/UDP [2001:db8::5:1]:6051;branch=z9hG4bK6",
			"Via: SIP/2.0/UDP 198.51.100.4;branch=z9hG4bK4",
			"Via: SIP/2.0/TCP [2001:db8::5:fe];branch=z9hG4bK7;received=198.51.100.200"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Vias[0].Port", m.Vias()[0].Port, "6051")
			eq(t, "Vias[1].Host", m.Vias()[1].Host, "198.51.100.4")
			eq(t, "Vias[2].Received", m.Vias()[2].Received(), "198.51.100.200")
		},
	},
	{
		name: "RFC5118_4_8_IPv4 and IPv6 in SDP",
		raw: withBody("v=0\r\ns=\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP4 198.51.100.4\r\nm=video 2 RTP/AVP 7\r\nc=IN IP6 2001:db8::5\r\n",
			append([]string{"INVITE sip:otto@[2001:db8::77] SIP/2.0"}, basics("INVITE")...)...),
	},
	{
		name: "RFC5118_4_9_IPv4 mapped into IPv6",
		raw: plain("INVITE", "sip:otto@lab.test",
			"Via: SIP/2.0/UDP [::ffff:198.51.100.4]:19824;branch=z9hG4bK1",
			"Via: SIP/2.0/UDP [::ffff:198.51.100.5];branch=z9hG4bK2",
			"Contact: \"N. desk\" <sip:nina@[::ffff:198.51.100.5]>"),
		check: func(t *testing.T, m *Message) {
			eq(t, "Port", m.TopVia().Port, "19824")
			addr, ok := m.Contacts()[0].URI.HostAddr()
			eq(t, "HostAddr", addr.Unmap().String(), "198.51.100.5")
			eq(t, "ok", ok, true)
		},
	},
	{
		name: "RFC5118_4_10_three colons",
		raw:  plain("OPTIONS", "sip:otto@[2001:db8:::198.51.100.4]", "To: sip:otto@[2001:db8:::198.51.100.4]"),
		check: func(t *testing.T, m *Message) {
			good, _ := ParseURI("sip:otto@[2001:db8::198.51.100.4]")
			eq(t, "Equal", m.RequestURI().Equal(good), true)
			aor, _ := CanonicalAOR(m.To().URI)
			want, _ := CanonicalAOR(good)
			eq(t, "AOR", aor, want)
		},
	},
	{
		name: "RFC5118_4_10_two colons",
		raw:  plain("OPTIONS", "sip:otto@[2001:db8::198.51.100.4]"),
	},
}

func longVias(n int) []string {
	names := []string{"Via", "v", "V", "VIA", "vIa", "V ", "Via  "}
	var lines []string
	for i := n; i > 1; i-- {
		lines = append(lines, fmt.Sprintf("%s: SIP/2.0/TCP hop%d.lab.test", names[i%len(names)], i-1))
	}
	return append(lines, "Via: SIP/2.0/TCP pc7.lab.test;received=198.51.100.4;branch=far"+strings.Repeat("away", 50))
}

func TestParse_Torture(t *testing.T) {
	for _, tc := range tortureCases {
		t.Run(tc.name, func(t *testing.T) {
			m, err := Parse([]byte(tc.raw), testSource)
			got := 0
			if err != nil {
				got, _, _ = StatusOf(err)
				if m == nil {
					got = -1
				}
			}
			if got != tc.want {
				t.Fatalf("Parse = %d (%v), want %d\n%s", got, err, tc.want, tc.raw)
			}
			if m == nil {
				return
			}
			if tc.want == 0 {
				if got := string(m.Edit().Bytes()); got != m.Raw() {
					t.Errorf("Edit().Bytes() without edits = %q, want Raw() = %q", got, m.Raw())
				}
			}
			if m.IsRequest() {
				checkReply(t, m, err)
			}
			if tc.check != nil {
				tc.check(t, m)
			}
		})
	}
}

// checkReply holds the answer to a request to what it must be: well formed if
// the request was, and in any case one message with one To, so that nothing in a
// damaged request becomes a header field of the answer.
func checkReply(t testing.TB, m *Message, parseErr error) {
	t.Helper()
	r := Reply{Code: 200, ToTag: "t0"}
	if parseErr != nil {
		r = ErrorReply(parseErr, "t0")
	}
	wire := m.AppendReply(nil, r)
	var s Scan
	if err := s.Parse(string(wire)); err != nil {
		t.Fatalf("answer does not scan: %v\n%s", err, wire)
	}
	if s.Status() != r.Code || s.Count(HdrTo) > 1 || s.Count(HdrCSeq) > 1 || s.Count(HdrContentLength) != 1 {
		t.Errorf("answer has a wrong outline:\n%s", wire)
	}
	if parseErr != nil {
		return
	}
	resp, err := Parse(wire, testSource)
	if err != nil {
		t.Fatalf("answer does not parse: %v\n%s", err, wire)
	}
	if len(resp.Vias()) != len(m.Vias()) || resp.CallID() != m.CallID() || resp.CSeq() != m.CSeq() ||
		resp.FromTag() != m.FromTag() || resp.TopVia().Branch() != m.TopVia().Branch() {
		t.Errorf("answer does not belong to the request:\n%s", wire)
	}
	if !m.To().Params.Has("tag") && resp.ToTag() != "t0" {
		t.Errorf("To of the answer = %q, want tag t0", resp.To())
	}
}
