package sim

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //nolint:staticcheck // NTLM is defined over MD4
)

// The messages of NTLM. Source: "NT LAN Manager (NTLM) Authentication Protocol"
// (MS-NLMP), sections 2.2.1 and 3.3.2. Only NTLMv2 and Unicode are spoken; message
// integrity codes and channel bindings are not checked.

var ntlmSignature = []byte("NTLMSSP\x00")

// Flags of MS-NLMP section 2.2.2.5.
const (
	flagUnicode         = 0x00000001
	flagRequestTarget   = 0x00000004
	flagNTLM            = 0x00000200
	flagAlwaysSign      = 0x00008000
	flagTargetDomain    = 0x00010000
	flagExtendedSession = 0x00080000
	flagTargetInfo      = 0x00800000
	flagVersion         = 0x02000000
	flag128             = 0x20000000
	flagKeyExchange     = 0x40000000
	flag56              = 0x80000000
)

// messageType is 1, 2 or 3, or 0 if it is no NTLM message.
func messageType(m []byte) uint32 {
	if len(m) < 16 || !bytes.HasPrefix(m, ntlmSignature) {
		return 0
	}
	return binary.LittleEndian.Uint32(m[8:])
}

// negotiateFlags are the flags of a first message.
func negotiateFlags(m []byte) uint32 { return binary.LittleEndian.Uint32(m[12:]) }

// challengeMessage is the second message: the server's challenge of 8 bytes, who the
// server is, and what both sides can do.
func challengeMessage(challenge []byte, domain string, now time.Time, client uint32) []byte {
	flags := uint32(flagUnicode | flagRequestTarget | flagNTLM | flagAlwaysSign | flagTargetDomain |
		flagExtendedSession | flagTargetInfo | flagVersion)
	flags |= client & (flag128 | flag56 | flagKeyExchange)
	target := utf16Bytes(domain)
	var info bytes.Buffer
	pair := func(id uint16, value []byte) {
		_ = binary.Write(&info, binary.LittleEndian, [2]uint16{id, uint16(len(value))})
		info.Write(value)
	}
	dns := strings.ToLower(domain) + ".example"
	pair(2, target)                 // MsvAvNbDomainName
	pair(1, utf16Bytes("CRM"))      // MsvAvNbComputerName
	pair(4, utf16Bytes(dns))        // MsvAvDnsDomainName
	pair(3, utf16Bytes("crm."+dns)) // MsvAvDnsComputerName
	stamp := make([]byte, 8)        // MsvAvTimestamp: 100 ns since 1601
	const since1601 = 116_444_736_000_000_000
	binary.LittleEndian.PutUint64(stamp, uint64(now.UnixNano()/100+since1601))
	pair(7, stamp)
	pair(0, nil)

	const header = 56
	m := make([]byte, header, header+len(target)+info.Len())
	copy(m, ntlmSignature)
	binary.LittleEndian.PutUint32(m[8:], 2)
	field(m[12:], len(target), header)
	binary.LittleEndian.PutUint32(m[20:], flags)
	copy(m[24:32], challenge)
	field(m[40:], info.Len(), header+len(target))
	copy(m[48:], []byte{10, 0, 0x63, 0x45, 0, 0, 0, 15}) // version 10.0, build 17763, revision 15
	m = append(m, target...)
	return append(m, info.Bytes()...)
}

// field writes length, room and offset of a value.
func field(at []byte, length, offset int) {
	binary.LittleEndian.PutUint16(at, uint16(length))
	binary.LittleEndian.PutUint16(at[2:], uint16(length))
	binary.LittleEndian.PutUint32(at[4:], uint32(offset))
}

// authenticate is what matters of a third message.
type authenticate struct {
	domain, user string
	response     []byte // NtChallengeResponse
}

var errBadMessage = errors.New("not an NTLM message of the third kind")

func parseAuthenticate(m []byte) (authenticate, error) {
	if messageType(m) != 3 || len(m) < 64 {
		return authenticate{}, errBadMessage
	}
	part := func(at int) ([]byte, bool) {
		length, offset := int64(binary.LittleEndian.Uint16(m[at:])), int64(binary.LittleEndian.Uint32(m[at+4:]))
		if offset+length > int64(len(m)) {
			return nil, false
		}
		return m[offset : offset+length], true
	}
	response, ok1 := part(20)
	domain, ok2 := part(28)
	user, ok3 := part(36)
	if !ok1 || !ok2 || !ok3 || len(domain)%2+len(user)%2 != 0 {
		return authenticate{}, errBadMessage
	}
	return authenticate{domain: utf16Text(domain), user: utf16Text(user), response: response}, nil
}

// proves checks the NTLMv2 response: a proof of 16 bytes over the challenge and what
// follows the proof, keyed with the password, name and domain.
func (m authenticate) proves(password string, challenge []byte) bool {
	const proof, smallest = 16, 16 + 28
	if len(m.response) < smallest || m.response[proof] != 1 || m.response[proof+1] != 1 {
		return false // NTLMv1, or nothing
	}
	hash := md4.New()
	hash.Write(utf16Bytes(password))
	key := hmacMD5(hash.Sum(nil), utf16Bytes(strings.ToUpper(m.user)+m.domain))
	return hmac.Equal(hmacMD5(key, challenge, m.response[proof:]), m.response[:proof])
}

func hmacMD5(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(md5.New, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

func utf16Bytes(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func utf16Text(b []byte) string {
	u := make([]uint16, len(b)/2)
	for i := range u {
		u[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(u))
}
