<?php
// Reads eduPersonOrcid in SimpleSAMLphp.
//
// Copy the three filters into 'authproc' of your service in config/authsources.php. The first maps attribute names
// (eduPersonOrcid is in SimpleSAMLphp's own oid2name), the second removes values that are not ORCID iDs, the third
// removes duplicates.
return [
    10 => ['class' => 'core:AttributeMap', 'oid2name'],
    20 => [
        'class' => 'core:AttributeAlter',
        'subject' => 'eduPersonOrcid',
        'pattern' => '~^(?!https://@ORCID_HOST_PATTERN@/[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$).*$~sD',
        '%remove',
    ],
    30 => [
        'class' => 'core:PHP',
        'code' => 'if (isset($attributes["eduPersonOrcid"])) {
            $attributes["eduPersonOrcid"] = array_values(array_unique($attributes["eduPersonOrcid"]));
        }',
    ],
];
