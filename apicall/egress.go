package apicall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/qarion/qarion/engine"
)

// Egress says which addresses requests may reach beyond the rules below.
type Egress struct {
	Allow []string // hosts, host:port or CIDR
}

// guard decides about addresses, at dial time and on the resolved address: a
// name can point anywhere. A host that the flow file names may be internal; a
// host that data made may be public only; link-local addresses, where clouds
// keep their metadata, are reachable only when allowed by name.
type guard struct {
	hosts map[string]bool // "host" or "host:port", lower case
	nets  []netip.Prefix
}

func newGuard(e Egress) (*guard, error) {
	g := &guard{hosts: map[string]bool{}}
	for _, a := range e.Allow {
		if strings.Contains(a, "/") {
			p, err := netip.ParsePrefix(a)
			if err != nil {
				return nil, fmt.Errorf("%w: [egress] allow: %q is not a network such as 10.0.0.0/8", engine.ErrInvalid, a)
			}
			g.nets = append(g.nets, p.Masked())
			continue
		}
		if a == "" || strings.ContainsAny(a, " @?#") {
			return nil, fmt.Errorf("%w: [egress] allow: %q is not a host, host:port or network", engine.ErrInvalid, a)
		}
		g.hosts[strings.ToLower(a)] = true
	}
	return g, nil
}

// egressError is an address that requests may not reach.
type egressError struct {
	addr, why string
	redirect  string // the address that a redirect led to; "" without one
}

// fromData ends the reason of addresses that only a flow file may name.
const fromData = "and the host comes from data"

func (e *egressError) Error() string {
	text := fmt.Sprintf("egress: %s is not allowed (%s); see [egress] in qarion.toml", e.addr, e.why)
	if e.redirect != "" {
		text = "redirect to " + e.redirect + ": " + text
	}
	return text
}

// offLimits adds to an address that may not be reached how the request came
// there, and what would allow it.
func (a *attempt) offLimits(u *url.URL, err error) error {
	var e *egressError
	if !errors.As(err, &e) {
		return err
	}
	with := *e
	if len(a.history) > 0 {
		with.redirect = u.Scheme + "://" + u.Host
	}
	if strings.HasSuffix(e.why, fromData) { // to reach machines' secrets is no advice
		a.out.Details.Hint = allowLine(u.Hostname(), portOf(u))
	}
	return &with
}

// nonPublic are networks beside the private ones that are nobody's public
// address (RFC 6890 and the registries that follow it).
var nonPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("100::/64"),
}

// metadata are the addresses outside the link-local networks at which clouds
// give out their machines' secrets (AWS over IPv6, Alibaba, Oracle).
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
}

// check decides about one resolved address of a host.
func (g *guard) check(host, port string, ip netip.Addr, trusted bool) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip = plainIP(ip)
	if g.hosts[host] || g.hosts[net.JoinHostPort(host, port)] {
		return nil
	}
	if slices.Contains(metadata, ip) {
		return &egressError{addr: ip.String(), why: "cloud metadata"}
	}
	if ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsInterfaceLocalMulticast() {
		return &egressError{addr: ip.String(), why: "link-local"}
	}
	for _, n := range g.nets {
		if n.Contains(ip) {
			return nil
		}
	}
	if trusted {
		return nil
	}
	switch {
	case ip.IsLoopback():
		return &egressError{addr: ip.String(), why: "loopback, " + fromData}
	case ip.IsPrivate():
		return &egressError{addr: ip.String(), why: "private, " + fromData}
	case !ip.IsGlobalUnicast() || ip.IsMulticast():
		return &egressError{addr: ip.String(), why: "not a public address, " + fromData}
	}
	for _, n := range nonPublic {
		if n.Contains(ip) {
			return &egressError{addr: ip.String(), why: "not a public address, " + fromData}
		}
	}
	return nil
}

var nat64, sixToFour = netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("2002::/16")

// plainIP unwraps the IPv6 forms that carry an IPv4 address: mapped, NAT64 and
// 6to4. Checking the wrapping would let 169.254.169.254 through in disguise.
func plainIP(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	b := ip.As16()
	switch {
	case !ip.Is6():
	case nat64.Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// dial returns a dialer that checks each resolved address right before it is
// connected to. A proxy is an address of the flow file; the host behind it is
// checked before the proxy is asked (see checkProxied).
func (g *guard) dial(d *net.Dialer, trusted bool) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		dialer := *d
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return g.check(host, port, ap.Addr(), trusted)
		}
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countedConn{Conn: conn}, nil
	}
}

// checkProxied resolves and checks a host that is reached through a proxy,
// which would do so out of our sight. Without a proxy the dialer checks.
func (t *TaskType) checkProxied(ctx context.Context, p *props, u *url.URL, trusted bool) error {
	if p.proxy == "" {
		return nil
	}
	host := u.Hostname()
	addrs, err := t.lookup(ctx, host)
	if err != nil {
		if trusted {
			return nil // the proxy may know names that we do not
		}
		return &egressError{addr: host, why: "its address cannot be found, " + fromData}
	}
	for _, ip := range addrs {
		if err := t.egress.check(host, portOf(u), ip, trusted); err != nil {
			return err
		}
	}
	return nil
}

func (t *TaskType) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if t.cfg.Resolve != nil {
		return t.cfg.Resolve(ctx, host)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("no address")
	}
	return addrs, err
}
