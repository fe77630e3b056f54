//! `traits.network`: names and addresses, from files alone: no name service is asked and no socket opened.

use crate::Class::Periodic;
use crate::{Given, Known, Source, TraitError, flag, known, null, text, texts, whole};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vigo_wire::node::Node;

pub const KNOWN: [Known; 6] = [
    known("hostname", Periodic, "the machine's name up to its first dot"),
    known("fqdn", Periodic, "its whole name, from /etc/hostname and /etc/hosts"),
    known("domain", Periodic, "what follows the first dot of the whole name"),
    known("ipv4", Periodic, "its first address, on the interface of the default route if there is one"),
    known("ipv6", Periodic, "its first global address, likewise"),
    known("interfaces", Periodic, "by name: mac, mtu, up, ipv4, ipv6"),
];

/// Interfaces that are listed.
const INTERFACES: usize = 256;

pub fn collect(source: &Source, _: &Given) -> Result<Vec<Node>, TraitError> {
    let whole_name = source
        .line("/proc/sys/kernel/hostname")
        .or_else(|| source.line("/etc/hostname"))
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let fqdn = fqdn(&whole_name, &source.optional("/etc/hosts")?.unwrap_or_default());
    let (hostname, domain) = match fqdn.split_once('.') {
        Some((hostname, domain)) => (hostname.to_owned(), Some(domain.to_owned())),
        None => (fqdn.clone(), None),
    };
    let routes = source.optional("/proc/net/route")?.as_deref().map(routes).unwrap_or_default();
    let local = source.optional("/proc/net/fib_trie")?.as_deref().map(local_addresses).unwrap_or_default();
    let ipv4: Vec<(String, Ipv4Addr)> =
        local.into_iter().map(|address| (interface_of(address, &routes), address)).collect();
    let ipv6 = source.optional("/proc/net/if_inet6")?.as_deref().map(addresses6).unwrap_or_default();
    let default = routes.iter().find(|route| route.mask == 0).map(|route| route.interface.clone());
    Ok(vec![
        text(Some(hostname)),
        text(Some(fqdn.clone())),
        text(domain),
        text(primary(&ipv4, default.as_deref()).map(|address| address.to_string())),
        text(primary(&ipv6, default.as_deref()).map(|address| address.to_string())),
        interfaces(source, &ipv4, &ipv6),
    ])
}

/// The name with its domain: the machine's name if it has a dot, else the first name with one that `/etc/hosts` puts beside it (hosts(5)).
fn fqdn(name: &str, hosts: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.contains('.') {
        return name;
    }
    let beside = hosts.lines().find_map(|line| {
        let words: Vec<String> =
            line.split('#').next()?.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
        let names = words.get(1..)?;
        let dotted = names
            .iter()
            .find(|other| other.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('.')));
        dotted.filter(|_| names.contains(&name)).cloned()
    });
    beside.unwrap_or(name)
}

struct Route {
    interface: String,
    destination: u32,
    mask: u32,
}

/// `/proc/net/route`: addresses are the kernel's bytes printed as one hexadecimal number of the machine's own order.
fn routes(table: &str) -> Vec<Route> {
    let number = |digits: Option<&&str>| {
        u32::from_str_radix(digits?, 16).ok().map(|value| u32::from_be_bytes(value.to_ne_bytes()))
    };
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        Some(Route {
            interface: (*fields.first()?).to_owned(),
            destination: number(fields.get(1))?,
            mask: number(fields.get(7))?,
        })
    };
    table.lines().skip(1).filter_map(route).take(10_000).collect()
}

/// `/proc/net/fib_trie`: under each leaf `|-- ADDRESS` stands what it is; `/32 host LOCAL` is an address of this machine.
fn local_addresses(table: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) =
                leaf.filter(|address| !found.contains(address) && found.len() < INTERFACES * 4)
        {
            found.push(address);
        }
    }
    found
}

/// The interface whose most exact route covers the address; loopback by its range, empty when none does.
fn interface_of(address: Ipv4Addr, routes: &[Route]) -> String {
    if address.is_loopback() {
        return "lo".into();
    }
    let covers = |route: &&Route| route.mask != 0 && u32::from(address) & route.mask == route.destination;
    let best = routes.iter().filter(covers).max_by_key(|route| route.mask);
    best.map_or_else(String::new, |route| route.interface.clone())
}

/// `/proc/net/if_inet6`: address, index, prefix length, scope, flags, name (proc_pid_net(5)).
fn addresses6(table: &str) -> Vec<(String, Ipv6Addr)> {
    let address = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let bits = u128::from_str_radix(fields.first()?, 16).ok()?;
        Some(((*fields.get(5)?).to_owned(), Ipv6Addr::from(bits)))
    };
    table.lines().filter_map(address).take(INTERFACES * 4).collect()
}

/// The address to show first: no loopback, none that is only good on its link; on `default` if possible.
fn primary<A: Copy + Into<IpAddr>>(addresses: &[(String, A)], default: Option<&str>) -> Option<IpAddr> {
    let usable = |address: &IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    };
    let all = || {
        addresses
            .iter()
            .map(|(name, address)| (name.as_str(), (*address).into()))
            .filter(|(_, address)| usable(address))
    };
    let on_default = all().find(|(name, _)| Some(*name) == default);
    on_default.or_else(|| all().next()).map(|(_, address)| address)
}

fn interfaces(source: &Source, ipv4: &[(String, Ipv4Addr)], ipv6: &[(String, Ipv6Addr)]) -> Node {
    let names = source.names("/sys/class/net");
    Node::map(
        names
            .into_iter()
            .take(INTERFACES)
            .filter(|name| source.exists(&format!("/sys/class/net/{name}/ifindex")))
            .map(|name| {
                let read = |file: &str| source.line(&format!("/sys/class/net/{name}/{file}"));
                let mine = |owner: &str| owner == name;
                let up = read("operstate").is_some_and(|state| state == "up") || name == "lo";
                let facts = [
                    ("mac", read("address").map_or_else(null, Node::literal)),
                    ("mtu", whole(read("mtu").and_then(|mtu| mtu.parse().ok()))),
                    ("up", flag(up)),
                    (
                        "ipv4",
                        texts(
                            ipv4.iter()
                                .filter(|(owner, _)| mine(owner))
                                .map(|(_, address)| address.to_string()),
                        ),
                    ),
                    (
                        "ipv6",
                        texts(
                            ipv6.iter()
                                .filter(|(owner, _)| mine(owner))
                                .map(|(_, address)| address.to_string()),
                        ),
                    ),
                ];
                (name.clone(), Node::map(facts.map(|(fact, value)| (fact.to_owned(), value))))
            }),
    )
}
