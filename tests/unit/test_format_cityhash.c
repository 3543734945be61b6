/*
 * CityHash64 v1.1 against the published vectors: the first column of `testdata` in
 * src/city-test.cc of CityHash 1.1.1 (Google, MIT licence), over the bytes that its
 * setup() makes.
 */
#include "format/cityhash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
	DATA_BYTES = 1 << 20,
	VECTORS = 300,
};

/** Vector i is of the i bytes from i * i on; the last one of all bytes. */
static const uint64_t vectors[VECTORS] = {
    0x9ae16a3b2f90404f,
    0x541150e87f415e96,
    0x0f3786a4b25827c1,
    0xef923a7a1af78eab,
    0x11df592596f41d88,
    0x831f448bdc5600b3,
    0x3eca803e70304894,
    0x1b5a063fb4c7f9f1,
    0xa0f10149a0e538d6,
    0xfb8d9c70660b910b,
    0x236827beae282a46,
    0xc385e435136ecf7c,
    0xe3f6828b6017086d,
    0x851fff285561dca0,
    0x61152a63595a96d9,
    0x44473e03be306c88,
    0x03ead5f21d344056,
    0x6abbfde37ee03b5b,
    0x0943e7ed63b3c080,
    0xd72ce05171ef8a1a,
    0x4182832b52d63735,
    0xd6cdae892584a2cb,
    0x5c8e90bc267c5ee4,
    0xbbd7f30ac310a6f3,
    0x36a097aa49519d97,
    0x0dc78cb032c49217,
    0x441593e0da922dfe,
    0x2ba3883d71cc2133,
    0xf2b6d2adf8423600,
    0x38fffe7f3680d63c,
    0xb7477bf0b9ce37c6,
    0x55bdb0e71e3edebd,
    0x0782fa1b08b475e7,
    0xc5dc19b876d37a80,
    0x5e1141711d2d6706,
    0x782edf6da001234f,
    0xd26285842ff04d44,
    0xc6ab830865a6bae6,
    0x044b3a1929232892,
    0x4b603d7932a8de4f,
    0x4ec0b54cf1566aff,
    0xed8b7a4b34954ff7,
    0x5d28b43694176c26,
    0x6a1ef3639e1d202e,
    0x159f4d9e0307b111,
    0xcc0a840725a7e25b,
    0xa2b27ee22f63c3f1,
    0xd8f2f234899bcab3,
    0x584f28543864844f,
    0xa94be46dd9aa41af,
    0x9a87bea227491d20,
    0x27688c24958d1a5c,
    0x5d1d37790a1873ad,
    0x1f03fd18b711eea9,
    0xf0316f286cf527b6,
    0x297008bcb3e3401d,
    0x043c6252411ee3be,
    0xce38a9a54fad6599,
    0x0270a9305fef70cf,
    0xe71be7c28e84d119,
    0xb5b58c24b53aaa19,
    0x44dd59bd301995cf,
    0xb4d4789eb6f2630b,
    0x12807833c463737c,
    0xe88419922b87176f,
    0x105191e0ec8f7f60,
    0xa5b88bf7399a9f07,
    0xd08c3f5747d84f50,
    0x2f72d12a40044b4b,
    0xaa1f61fdc5c2e11e,
    0x9489b36fe2246244,
    0x358d7c0476a044cd,
    0xb0c48df14275265a,
    0xdaa70bb300956588,
    0x4ec97a20b6c4c7c2,
    0x5c3323628435a2e8,
    0xc1ef26bea260abdb,
    0x6be7381b115d653a,
    0xae3eece1711b2105,
    0x376c28588b8fb389,
    0x58d943503bb6748f,
    0xdfff5989f5cfd9a1,
    0x7fb19eb1a496e8f5,
    0x5dba5b0dadccdbaa,
    0x688bef4b135a6829,
    0xd8323be05433a412,
    0x3b5404278a55a7fc,
    0x2a96a3f96c5e9bbc,
    0x22bebfdcc26d18ff,
    0x627a2249ec6bbcc2,
    0x3abaf1667ba2f3e0,
    0x3931ac68c5f1b2c9,
    0xb98fb0606f416754,
    0x7f7729a33e58fcc4,
    0x42a0aa9ce82848b3,
    0x6b2c6d38408a4889,
    0x930380a3741e862a,
    0x94808b5d2aa25f9a,
    0xb31abb08ae6e3d38,
    0xdccb5534a893ea1a,
    0x6369163565814de6,
    0xedee4ff253d9f9b3,
    0x941993df6e633214,
    0x859838293f64cd4c,
    0xc19b5648e0d9f555,
    0xf963b63b9006c248,
    0x6a8aa0852a8c1f3b,
    0x740428b4d45e5fb8,
    0x658b883b3a872b86,
    0x6df0a977da5d27d4,
    0xa900275464ae07ef,
    0x810bc8aa0c40bcb0,
    0x22036327deb59ed7,
    0x7d14dfa9772b00c8,
    0x2d777cddb912675d,
    0xf2ec98824e8aa613,
    0x5e763988e21f487f,
    0x48949dc327bb96ad,
    0xb7c4209fb24a85c5,
    0x9c9e5be0943d4b05,
    0x3898bca4dfd6638d,
    0x5b5d2557400e68e7,
    0xa927ed8b2bf09bb6,
    0x8d25746414aedf28,
    0xb5bbdb73458712f2,
    0x3d32a26e3ab9d254,
    0x9371d3c35fa5e9a5,
    0xcbaa3cb8f64f54e0,
    0xb2e23e8116c2ba9f,
    0x8aa77f52d7868eb9,
    0x858fea922c7fe0c3,
    0x46ef25fdec8392b1,
    0x8d078f726b2df464,
    0x35ea86e6960ca950,
    0x8aee9edbc15dd011,
    0xc3e142ba98432dda,
    0x123ba6b99c8cd8db,
    0xba87acef79d14f53,
    0x0bcd3957d5717dc3,
    0x61442ff55609168e,
    0xdbe4b1b2d174757f,
    0x531e8e77b363161c,
    0xf71e9c926d711e2b,
    0xcb20ac28f52df368,
    0xe4a794b4acb94b55,
    0xcb942e91443e7208,
    0xecca7563c203f7ba,
    0x1652cb940177c8b5,
    0x31fed0fc04c13ce8,
    0xe7b668947590b9b3,
    0x1de2119923e8ef3c,
    0x1269df1e69e14fa7,
    0x820826d7aba567ff,
    0xffe0547e4923cef9,
    0x72da8d1b11d8bc8b,
    0xd62ab4e3f88fc797,
    0xd0f06c28c7b36823,
    0x99b7042460d72ec6,
    0x4f4dfcfc0ec2bae5,
    0xfe86bf9d4422b9ae,
    0xa90d81060932dbb0,
    0x17938a1b0e7f5952,
    0xde9e0cb0e16f6e6d,
    0x6d4b876d9b146d1a,
    0xe698fa3f54e6ea22,
    0x7bc0deed4fb349f7,
    0xdb4b15e88533f622,
    0x922834735e86ecb2,
    0x30f1d72c812f1eb8,
    0x168884267f3817e9,
    0x82e78596ee3e56a7,
    0xaa2d6cf22e3cc252,
    0x7bf5ffd7f69385c7,
    0xe89c8ff9f9c6e34b,
    0xa18fbcdccd11e1f4,
    0x2d54f40cc4088b17,
    0x69276946cb4e87c7,
    0x668174a3f443df1d,
    0x05e29be847bd5046,
    0xcd0d79f2164da014,
    0xe0e6fc0b1628af1d,
    0x2058927664adfd93,
    0xdc107285fd8e1af7,
    0xfbba1afe2e3280f1,
    0xbfa10785ddc1011b,
    0x534cc35f0ee1eb4e,
    0x07ca6e3933995dac,
    0xf0d6044f6efd7598,
    0x3d69e52049879d61,
    0x79da242a16acae31,
    0x461c82656a74fb57,
    0x053c1a66d0b13003,
    0x0d3a2efec0f047e9,
    0x43c64d7484f7f9b2,
    0xa7dec6ad81cf7fa1,
    0x05408a1df99d4aff,
    0xa8b27a6bcaeeed4b,
    0x9a952a8246fdc269,
    0xc930841d1d88684f,
    0x94dc6971e3cf071a,
    0x07fc98006e25cac9,
    0x0bd781c4454103f6,
    0xda60e6b14479f9df,
    0x04ca56a348b6c4d3,
    0xebd22d4b70946401,
    0x03cc4693d6cbcb0c,
    0x38908e43f7ba5ef0,
    0x34983ccc6aa40205,
    0x86215c45dcac9905,
    0x420fc255c38db175,
    0x1d7a31f5bc8fe2f9,
    0x94129a84c376a26e,
    0x1d3a9809dab05c8d,
    0x90fa3ccbd60848da,
    0x2dbb4fc71b554514,
    0xb98bf4274d18374a,
    0xd6781d0b5e18eb68,
    0x226651cf18f4884c,
    0xa734fb047d3162d6,
    0xc6df6364a24f75a3,
    0x0d8d1364c1fbcd10,
    0xaae06f9146db885f,
    0x8955ef07631e3bcc,
    0xad611c609cfbe412,
    0xd5339adc295d5d69,
    0x40d0aeff521375a8,
    0x8b2d54ae1a3df769,
    0x99c175819b4eae28,
    0x2a418335779b82fc,
    0x3b1fc6a3d279e67d,
    0xd97eacdf10f1c3c9,
    0x293a5c1c4e203cd4,
    0x4290e018ffaedde7,
    0xf919a59cbde8bf2f,
    0x1d70a3f5521d7fa4,
    0x6af98d7b656d0d7c,
    0x395b7a8adb96ab75,
    0x3822dd82c7df012f,
    0x79f7efe4a80b951a,
    0xae6e59f5f055921a,
    0x8959dbbf07387d36,
    0x4739613234278a49,
    0x420e6c926bc54841,
    0xc8601bab561bc1b7,
    0xb2d294931a0e20eb,
    0x7966f53c37b6c6d7,
    0xbe9bb0abd03b7368,
    0xa08d128c5f1649be,
    0x7c386f0ffe0465ac,
    0x0bb362094e7ef4f8,
    0xcd80dea24321eea4,
    0xd599a04125372c3a,
    0x0dbbf541e9dfda0a,
    0xc2ee3288be4fe2bf,
    0xd86603ced1ed4730,
    0x915263c671b28809,
    0x2b67cdd38c307a5e,
    0x2d107419073b9cd0,
    0xf3e9487ec0e26dfc,
    0x1160987c8fe86f7d,
    0xeab8112c560b967b,
    0x1addcf0386d35351,
    0xd445ba84bf803e09,
    0x37235a096a8be435,
    0x763ad6ea2fe1c99d,
    0xea627fc84cd1b857,
    0x1f2ffd79f2cdc0c8,
    0x39a9e146ec4b3210,
    0x74cba303e2dd9d6d,
    0x4cbc2b73a43071e0,
    0x875638b9715d2221,
    0xfb686b2782994a8d,
    0xab21d81a911e6723,
    0x33d013cc0cd46ecf,
    0x8ca92c7cd39fae5d,
    0xfdde3b03f018f43e,
    0x9c8502050e9c9458,
    0x348176ca2fa2fdd2,
    0x4a3d3dfbbaea130b,
    0xb371f768cdf4edb9,
    0x07a1d2e96934f61f,
    0x8be53d466d4728f2,
    0x829677eb03abf042,
    0x0754435bae3496fc,
    0xfda9877ea8e3805f,
    0x2e36f523ca8f5eb5,
    0x21a378ef76828208,
    0xccdd5600054b16ca,
    0x7854468f4e0cabd0,
    0x7f88db5346d8f997,
    0xbb3fb5fb01d60fcf,
    0x2e783e1761acd84d,
    0x392058251cf22acc,
    0xadf5c1e5d6419947,
    0x6bc1db2c2bee5aba,
    0xb00f898229efa508,
    0xb56eb769ce0d9a8c,
    0x70c0637675b94150,
    0x74c0b8a6821faafe,
    0x5fb5e48ac7b7fa4f,
};

static unsigned char *make_data(void)
{
	const uint64_t multiplier = 0xc3a5c85c97cb3127;
	unsigned char *data = malloc(DATA_BYTES);
	uint64_t a = 9, b = 777;

	assert_non_null(data);
	for (uint64_t i = 0; i < DATA_BYTES; i++) {
		a += b;
		b += a;
		a = (a ^ (a >> 41)) * multiplier;
		b = (b ^ (b >> 41)) * multiplier + i;
		data[i] = (unsigned char)(b >> 37);
	}
	return data;
}

static void the_published_vectors(void **state)
{
	unsigned char *data = make_data();

	(void)state;
	for (size_t i = 0; i + 1 < VECTORS; i++)
		assert_int_equal(vectors[i], fsmeta_cityhash64(data + i * i, i));
	assert_int_equal(vectors[VECTORS - 1], fsmeta_cityhash64(data, DATA_BYTES));
	free(data);
}

/** Nothing beyond the bytes is read: each length in memory of exactly that size. */
static void no_byte_beyond_is_read(void **state)
{
	unsigned char *data = make_data();

	(void)state;
	for (size_t length = 0; length < 300; length++) {
		unsigned char *copy = malloc(length + (length == 0));

		assert_non_null(copy);
		memcpy(copy, data, length);
		assert_int_equal(fsmeta_cityhash64(copy, length), fsmeta_cityhash64(data, length));
		free(copy);
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_published_vectors),
	    cmocka_unit_test(no_byte_beyond_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
