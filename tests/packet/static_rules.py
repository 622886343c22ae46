# SPDX-License-Identifier: Apache-2.0
"""Where our answer may differ from a peer's. differences.md has one section per rule, with the RFC that decides."""
import collections

# covers: which differences the rule excuses. applies(what, us, peer): whether it is that case.
Rule = collections.namedtuple("Rule", "name peer covers applies")

RULES = []
RULES += [
    Rule("positive-without-ns", "nsd", {"authority", "additional"},
         lambda what, us, peer: us.answer and not us.authority and {r[1] for r in peer.authority} == {"NS"}
         and us.additional <= peer.additional),
    Rule("any-one-set", "any", {"answer", "authority", "additional", "tc", "aa"},
         lambda what, us, peer: " ANY" in what and us.rcode == 0 and len({r[:2] for r in us.answer if r[1] != "CNAME"}) <= 1),
    Rule("glue-or-tc", "nsd", {"tc"},
         lambda what, us, peer: us.tc and not us.aa and peer.rcode == 0 and {r[1] for r in peer.authority} == {"NS"}),
]

RULES += [
    Rule("silence-for-bad-question", "knot", {"silence"},
         lambda what, us, peer: peer is None and us.rcode == 1 and what.startswith("hostile")),
    Rule("error-without-question", "any", {"qd"},
         lambda what, us, peer: what.startswith("hostile") and us.rcode not in (0, 3) and {us.qd, peer.qd} == {0, 1}),
    Rule("error-keeps-opt", "any", {"edns"},
         lambda what, us, peer: us.rcode == peer.rcode == 1 and us.edns and not peer.edns),
    Rule("sections-in-query", "knot", {"rcode", "aa", "answer", "additional"},
         lambda what, us, peer: what in ("hostile: answer in query", "hostile: authority in query") and us.rcode == 1),
    Rule("opt-owner-not-root", "knot", {"rcode", "aa", "answer", "edns"},
         lambda what, us, peer: what == "hostile: opt owner" and us.rcode == 1),
    Rule("trailing-bytes", "nsd", {"rcode", "aa", "answer", "authority", "additional"},
         lambda what, us, peer: what == "hostile: garbage behind" and us.rcode == 1),
    Rule("response-flags-in-query", "nsd", {"rcode", "aa", "answer", "authority", "additional", "qd"},
         lambda what, us, peer: what == "hostile: flags" and us.rcode == 0 and us.answer and peer.rcode == 1),
    Rule("svcb-target-addresses", "knot", {"additional"},
         lambda what, us, peer: {r[1] for r in us.answer} <= {"SVCB", "HTTPS", "CNAME"} and us.additional <= peer.additional),
    Rule("growing-dname-loop", "any", {"answer", "tc"},
         lambda what, us, peer: "dnloop" in what.lower() and us.rcode == peer.rcode == 0
         and (us.tc or peer.tc or us.answer <= peer.answer or peer.answer <= us.answer)),
]

RULES += [
    Rule("class-any-not-authoritative", "knot", {"aa"},
         lambda what, us, peer: what == "hostile: class any" and not us.aa),
    Rule("silence-without-question", "nsd", {"silence"},
         lambda what, us, peer: what == "hostile: qdcount 0" and peer is None and us.rcode == 1),
    Rule("transfer-denied", "knot", {"rcode"},
         lambda what, us, peer: what == "hostile: transfer" and us.rcode == 5 and peer.rcode == 9),
    Rule("qtype-zero", "knot", {"rcode", "aa", "authority"},
         lambda what, us, peer: what == "hostile: qtype meta" and us.rcode == 0 and peer.rcode == 4),
    Rule("dname-too-long", "knot", {"rcode", "authority"},
         lambda what, us, peer: us.rcode == 6 and peer.rcode == 3 and us.answer == peer.answer),
    Rule("negative-keeps-soa", "any", {"authority", "tc"},
         lambda what, us, peer: us.rcode == peer.rcode and us.answer == peer.answer and not us.tc
         and {r[1] for r in us.authority} == {"SOA"} and not peer.authority),
]
