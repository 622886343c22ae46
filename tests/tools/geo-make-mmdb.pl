#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Writes DIR/city.mmdb and DIR/asn.mmdb, small databases in MaxMind's formats, for tests.
use strict;
use warnings;
use MaxMind::DB::Writer::Tree;

my ($dir) = @ARGV or die "usage: $0 DIR\n";

sub tree {
    my ($type, $types) = @_;
    return MaxMind::DB::Writer::Tree->new(
        ip_version            => 6,
        record_size           => 24,
        database_type         => $type,
        languages             => ['en'],
        description           => { en => 'made for tests' },
        alias_ipv6_to_ipv4    => 1,
        remove_reserved_networks => 0,
        map_key_type_callback => sub { $types->{ $_[0] } // 'map' },
    );
}

my $city = tree('GeoLite2-City', {
    iso_code => 'utf8_string', code => 'utf8_string', en => 'utf8_string',
    latitude => 'double', longitude => 'double', subdivisions => [ 'array', 'map' ],
});
my @places = (
    [ '192.0.2.0/24',     'FR', 'EU', 'Lyon',    45.76,  4.84,    'ARA' ],
    [ '198.51.100.0/25',  'US', 'NA', 'Chicago', 41.88,  -87.63,  'IL' ],
    [ '2001:db8:7::/48',  'JP', 'AS', 'Osaka',   34.69,  135.5,   '27' ],
);
for my $p (@places) {
    $city->insert_network($p->[0], {
        country => { iso_code => $p->[1] }, continent => { code => $p->[2] },
        city => { names => { en => $p->[3] } },
        location => { latitude => $p->[4], longitude => $p->[5] },
        subdivisions => [ { iso_code => $p->[6] } ],
    });
}
my $asn = tree('GeoLite2-ASN', { autonomous_system_number => 'uint32' });
$asn->insert_network('192.0.2.0/25', { autonomous_system_number => 64500 });
$asn->insert_network('2001:db8::/32', { autonomous_system_number => 64501 });

for my $out ([ $city, 'city' ], [ $asn, 'asn' ]) {
    open my $fh, '>:raw', "$dir/$out->[1].mmdb" or die "$dir: $!\n";
    $out->[0]->write_tree($fh);
    close $fh;
}
