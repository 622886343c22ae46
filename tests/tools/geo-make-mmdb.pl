#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Writes the sample databases of the geo tests: geo-make-mmdb.pl DIRECTORY
use strict;
use warnings;
use MaxMind::DB::Writer::Tree;

my $dir = shift or die "usage: geo-make-mmdb.pl DIRECTORY\n";

my %types = (
    asn => 'uint32', autonomous_system_number => 'uint32', autonomous_system_organization => 'utf8_string',
    city => 'map', code => 'utf8_string', continent => 'map', country => 'map', country_code => 'utf8_string',
    de => 'utf8_string', en => 'utf8_string', iso_code => 'utf8_string', latitude => 'double', location => 'map',
    longitude => 'double', names => 'map', registered_country => 'map', subdivisions => [ 'array', 'map' ],
);

sub tree {
    my ($name, %more) = @_;
    return MaxMind::DB::Writer::Tree->new(
        ip_version => 6, record_size => 24, database_type => $name, languages => ['en'],
        description => { en => 'test' }, remove_reserved_networks => 0,
        map_key_type_callback => sub { $types{ $_[0] } }, %more,
    );
}

sub write_tree {
    my ($tree, $file) = @_;
    open my $out, '>:raw', "$dir/$file" or die "$dir/$file: $!\n";
    $tree->write_tree($out);
    close $out or die "$dir/$file: $!\n";
}

my $city = tree('Test-City', alias_ipv6_to_ipv4 => 1);
my %paris = (
    continent => { code => 'EU' }, country => { iso_code => 'FR' },
    location => { latitude => 48.8566, longitude => 2.3522 },
    subdivisions => [ { iso_code => 'IDF' }, { iso_code => '75' } ],
    city => { names => { de => 'PARIS', en => 'Paris' } },
);
$city->insert_network('81.2.0.0/16', { continent => { code => 'EU' }, country => { iso_code => 'FR' } });
$city->insert_network('81.2.69.0/24', \%paris);
$city->insert_network('81.2.70.0/24', \%paris);
$city->insert_network('89.160.20.112/28', { registered_country => { iso_code => 'SE' } });
$city->insert_network('2001:218::/32', { country => { iso_code => 'JP' }, continent => { code => 'AS' } });
$city->insert_network('2a02:cf40::/29', \%paris);
write_tree($city, 'city.mmdb');

my $asn = tree('Test-ASN', record_size => 28, alias_ipv6_to_ipv4 => 1);
$asn->insert_network('81.2.69.128/25', { autonomous_system_number => 64501 });
$asn->insert_network('81.0.0.0/8', { autonomous_system_number => 64500 });
$asn->insert_network('81.2.69.128/25', { autonomous_system_number => 64501 });
$asn->insert_network('2001:200::/23', { autonomous_system_number => 2500 });
write_tree($asn, 'asn.mmdb');

my $flat = tree('Test-Flat', ip_version => 4, record_size => 32,
    map_key_type_callback => sub { 'utf8_string' });
$flat->insert_network('1.0.0.0/24', { asn => 'AS13335', country => 'AU', continent => 'OC' });
$flat->insert_network('128.0.0.0/1', { asn => '7', country_code => 'US', city => 'Boston' });
write_tree($flat, 'flat.mmdb');
